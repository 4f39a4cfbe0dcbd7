"""The trial loop: what is fitted when, what is compiled how often, and what a crash leaves behind."""

import csv
import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import handful.training.system as system_module
from handful.agents.mpc_agent import MPCAgent
from handful.envs.point_mass import PointMass
from handful.learning import learn
from handful.models.ensemble_learner import EnsembleLearner, Minibatches
from handful.planning.cem import CEM
from handful.planning.mpc import MPC
from handful.propagation.trajectory_sampling import TSInf
from handful.training import checkpoint
from handful.training import files as files_module
from handful.training import run as run_module
from handful.training.loop import Loop, Observer
from handful.training.run import RunFolder
from handful.training.session import Session
from handful.training.system import Simulated
from probes import same

SEED, TRIAL = 3, 12  # TRIAL in steps
TIMES = {"plan_ms_p50", "plan_ms_p99", "fit_s", "wall_s"}


class Killed(BaseException):
    """What a test raises where a process would end."""


class Counting(MPCAgent):
    """Says when it is fitted; its Python runs once a compile."""

    def fit(self, key, task, learned, data):
        TRACES["fit"] += 1
        return super().fit(key, task, learned, data)


TRACES = {"fit": 0, "advance": 0}


class Witness(Observer):
    """Remembers what it was told."""

    def __init__(self):
        self.told = []

    def fitting(self, stage):
        self.told.append(("fitting", stage))

    def stepped(self, stage, tallies, step_ms):
        self.told.append(("stepped", stage, tallies[SEED].steps))

    def finished(self, stages):
        self.told.append(("finished", stages[SEED].row.trial))


def env(horizon=TRIAL):
    mass = PointMass()
    return dataclasses.replace(mass, task=dataclasses.replace(mass.task, horizon=horizon))


def agent(kind=MPCAgent, width=6, num_steps=None):
    learner = EnsembleLearner(
        hidden=(width,),
        weight_decay=jnp.full(2, 1e-4),
        members=2,
        minibatches=Minibatches(batch_size=8, min_steps=20, max_steps=20, holdout=False),
    )
    return kind(learner, CEM(4, candidates=12, elites=3, iterations=1), TSInf(2), num_steps=num_steps)


def ran(loop, trials, observer=None):
    state, done = loop.init(SEED), []
    for index in range(trials + 1):
        rows = {SEED: [stage.row for stage in done]}
        state, stage = loop.stage(index, {SEED: state}, rows, observer or Observer())[SEED]
        done.append(stage)
    return state, done


def loop_of(kind=MPCAgent, trials=2, refit_every=None, **sizes):
    return Loop(Simulated(env()), agent(kind, num_steps=refit_every, **sizes), [SEED], stages=trials)


@pytest.mark.parametrize(
    ("every", "fits"),
    [(None, [0, 1, 1]), (4, [0, 3, 3]), (5, [0, 3, 3]), (6, [0, 2, 2]), (12, [0, 1, 1]), (66, [0, 1, 1])],
)
def test_fits_come_before_a_trial_and_every_so_many_steps(every, fits):
    witness = Witness()
    ran(loop_of(refit_every=every), 2, witness)
    assert [witness.told.count(("fitting", trial)) for trial in range(3)] == fits
    before = [0]
    for index, event in enumerate(witness.told):
        if event[0] == "stepped":
            before.append(event[2])
        elif event[0] == "finished":
            before.append(0)
        else:
            at = before[-1]
            assert at == 0 or at % every == 0, witness.told[: index + 1]


def test_a_trial_is_random_first_and_controlled_after():
    state, done = ran(loop_of(), 2)
    assert [trial.row.trial for trial in done] == [0, 1, 2]
    assert done[0].row.metrics == {}
    assert not any(name.startswith("update_") for name in done[0].arrays)
    assert "plan" not in done[0].arrays
    for trial in done[1:]:
        np.testing.assert_allclose(trial.arrays["action"], trial.arrays["plan"][:, 0], rtol=1e-6)
        planned = trial.arrays["planned_return"].astype(float).sum() / 4
        assert trial.row.metrics["planned_return"] == pytest.approx(planned, rel=1e-6)
        assert trial.row.return_ == pytest.approx(trial.arrays["reward"].astype(float).sum(), rel=1e-5)
        assert trial.arrays["update_fit_loss"].shape == (1, 2)
    data = state.agent.data
    np.testing.assert_array_equal(data.trial[: 3 * TRIAL], [*[0] * TRIAL, *[1] * TRIAL, *[-1] * TRIAL])
    seen = np.concatenate([trial.arrays["obs"] for trial in done])
    np.testing.assert_array_equal(data.transitions.obs[: 2 * TRIAL], seen[: 2 * TRIAL])
    np.testing.assert_array_equal(state.pending.transitions.obs[:TRIAL, 0], seen[2 * TRIAL :])  # learned from next


@pytest.mark.parametrize("every", [None, 4])
def test_one_compile_for_fit_and_one_for_act(every, monkeypatch):
    """Over four trials, with growing data and moving weights."""
    width = 7 if every else 8  # sizes that no other test has compiled

    def counted(*args, **settings):
        TRACES["advance"] += isinstance(args[2], MPC)
        return advance(*args, **settings)

    advance = system_module.advance
    monkeypatch.setattr(system_module, "advance", counted)
    TRACES.update(fit=0, advance=0)
    _, done = ran(loop_of(Counting, trials=3, refit_every=every, width=width), 3)
    assert TRACES == {"fit": 1, "advance": 1}
    actions = [trial.arrays["action"] for trial in done[1:]]
    assert all(np.abs(one - other).max() > 1e-3 for one, other in itertools.pairwise(actions))


def test_the_same_seed_does_the_same_and_another_does_not():
    (one, _), (other, _) = ran(loop_of(), 2), ran(loop_of(), 2)
    same(one, other)
    learned = learn(env(), agent(), trials=1, seed=4)
    assert len(learned.returns) == 2
    assert learned.returns != learn(env(), agent(), trials=1, seed=5).returns


def session_of(path, every, trials=2):
    config = {"task": "point-mass", "agent": "pets", "seed": SEED, "trials": trials}
    folder = RunFolder(path)
    if not folder.config_path.exists():
        folder = RunFolder.create(path, config)
    return Session(folder, Simulated(env()), agent(num_steps=every), config)


def untimed(path):
    rows = list(csv.DictReader((path / "metrics.csv").read_text().splitlines()))
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


@pytest.mark.parametrize("every", [None, 4])
def test_every_write_is_a_safe_place_to_crash(every, tmp_path, monkeypatch):
    """Killed just before or just after each write of a run, in turn, and resumed: as if nothing had happened."""
    session_of(tmp_path / "whole", every).train(Observer())
    write, writes, at = run_module.write_whole, [0], [0]

    def killing(path, content):
        writes[0] += 1
        if writes[0] == abs(at[0]) and at[0] < 0:
            raise Killed
        write(path, content)
        if writes[0] == at[0]:
            raise Killed

    for module in (run_module, checkpoint, files_module):
        monkeypatch.setattr(module, "write_whole", killing)
    count = 1 + 3 * 3  # the configuration; in each trial its record, the state, the metrics
    for moment in range(1, count + 1):
        path = tmp_path / str(moment)
        writes[0], at[0] = 0, moment if moment % 2 else -moment
        with pytest.raises(Killed):
            session_of(path, every).train(Observer())
        at[0] = 0
        session_of(path, every).train(Observer())
        assert untimed(path) == untimed(tmp_path / "whole")
        one, other = (
            checkpoint.load_arrays(run / "checkpoints" / "state.npz")[0] for run in (path, tmp_path / "whole")
        )
        assert one.keys() == other.keys()
        assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_a_resumed_run_with_room_for_more_trials_keeps_what_it_learned(tmp_path):
    first = session_of(tmp_path / "run", None, trials=1)
    first.train(Observer())
    more = session_of(tmp_path / "run", None, trials=3)
    assert more.done == 2
    ours, theirs = more.state.agent, first.state.agent
    assert ours.data.capacity == more.loop.capacity > theirs.data.capacity
    same(ours.learned, theirs.learned)
    same(ours.data.transitions.obs[:TRIAL], theirs.data.transitions.obs[:TRIAL])
    same(more.state.pending, first.state.pending)
    more.train(Observer())
    assert [row["trial"] for row in untimed(tmp_path / "run")] == ["0", "1", "2", "3"]


class KeyKeeper(MPCAgent):
    """Keeps the bits of the key of its last fit."""

    def start(self, key, task):
        return super().start(key, task), jax.random.key_data(key)

    def fit(self, key, task, learned, data):
        state, report = super().fit(key, task, learned[0], data)
        return (state, jax.random.key_data(key)), report

    def model(self, state):
        return self.learner.model(state.learned[0])


def test_each_fit_of_a_trial_has_its_own_key_and_the_driver_is_scored():
    """The first fit of trial k has the second of its keys, later ones fold in their step; scores are of the first."""
    loop = loop_of(KeyKeeper, trials=1, refit_every=4)
    state, done = ran(loop, 1)
    first = jax.random.split(jax.random.fold_in(jax.random.key(SEED), 2), 3)
    np.testing.assert_array_equal(state.agent.learned[1], jax.random.key_data(jax.random.fold_in(first[1], 8)))
    once = loop_of(KeyKeeper, trials=1, refit_every=None)
    _, driven = ran(once, 1)
    rows = slice(0, 4)  # driven by the same model, so the same until the second fit
    np.testing.assert_allclose(done[1].arrays["obs"][rows], driven[1].arrays["obs"][rows], rtol=1e-5, atol=1e-6)
    at_start = [forecast["fan_obs"][0, :, 1] for forecast in (done[1].arrays, driven[1].arrays)]
    np.testing.assert_allclose(*at_start, rtol=1e-4, atol=1e-5)  # of the model at the start, not after later fits
    data, pending = state.agent.data, int(state.pending.valid.sum())
    seen = np.concatenate([stage.arrays["obs"] for stage in done])
    assert (int(data.count), pending) == (2 * TRIAL - 4, 4)  # each row once
    np.testing.assert_array_equal(data.transitions.obs[: 2 * TRIAL - 4], seen[:-4])
    np.testing.assert_array_equal(state.pending.transitions.obs[:pending, 0], seen[-4:])
    np.testing.assert_array_equal(data.trial[: 2 * TRIAL - 4], [*[0] * TRIAL, *[1] * (TRIAL - 4)])
