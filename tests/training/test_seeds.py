"""Seeds side by side: as each alone up to rounding, one compile, and a crash between two seeds costs nothing."""

import csv
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import handful.training.system as system_module
from handful.agents.mpc_agent import MPCAgent
from handful.devices import undivided
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.models.ensemble_learner import EnsembleLearner, Minibatches
from handful.models.linear import LinearLearner
from handful.models.residual import ResidualLearner
from handful.planning.cem import CEM
from handful.planning.mpc import MPC
from handful.propagation.trajectory_sampling import TSInf
from handful.training import checkpoint
from handful.training import files as files_module
from handful.training import run as run_module
from handful.training.loop import Loop, Observer
from handful.training.run import GroupFolder, seeds_of
from handful.training.session import Session, train
from handful.training.system import Simulated
from probes import same

SEEDS = (3, 0, 11)
TRIAL, TRIALS, EVERY = 12, 2, 4  # [steps] of a trial, controlled trials, [steps] between fits
TIMES = {"plan_ms_p50", "plan_ms_p99", "fit_s", "wall_s"}
TRACES = {"fit": 0, "act": 0}


class Killed(BaseException):
    """What a test raises where a process would end."""


class Counting(MPCAgent):
    """Its Python runs once a compile."""

    def fit(self, key, task, learned, data):
        TRACES["fit"] += 1
        return super().fit(key, task, learned, data)


class Witness(Observer):
    """Remembers what it was told."""

    def __init__(self):
        self.told = []

    def fitting(self, stage):
        self.told.append(("fitting", stage))

    def fitted(self, stage, metrics, seconds):
        losses = [float(own["fit_loss"].sum()) for own in metrics.values()]
        self.told.append(("fitted", stage, sorted(metrics), losses))

    def stepped(self, stage, tallies, step_ms):
        self.told.append(("stepped", stage, {seed: tally.steps for seed, tally in tallies.items()}))

    def finished(self, stages):
        self.told.append(("finished", sorted(stages)))


class Fragile(PointMass):
    """May end a trial at any step, each seed's at another."""

    def step(self, key, state, action):
        state, step = super().step(key, state, action)
        return state, dataclasses.replace(step, terminated=jax.random.uniform(key) < 0.1)


def loop_of(seeds, kind=MPCAgent, env=None):
    env = Fragile(task=dataclasses.replace(PointMass().task, horizon=TRIAL)) if env is None else env
    learner = EnsembleLearner(
        hidden=(5,),
        weight_decay=jnp.full(2, 1e-4),
        members=2,
        minibatches=Minibatches(batch_size=8, min_steps=20, max_steps=20),
    )
    agent = kind(learner, CEM(4, candidates=12, elites=3, iterations=1), TSInf(2), num_steps=EVERY)
    return Loop(Simulated(env), agent, seeds, stages=TRIALS)


@pytest.fixture(scope="module")
def whole():
    """A run of the group: states and records before each trial, what an observer heard, and how often was compiled."""
    TRACES.update(fit=0, act=0)
    inner = system_module.advance

    def counted(key, env, policy, *rest, **settings):
        TRACES["act"] += isinstance(policy, MPC)
        return inner(key, env, policy, *rest, **settings)

    loop, witness, history = loop_of(SEEDS, Counting), Witness(), []
    states, trials = {seed: loop.init(seed) for seed in SEEDS}, {seed: [] for seed in SEEDS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system_module, "advance", counted)
        for index in range(TRIALS + 1):
            rows = {seed: [trial.row for trial in trials[seed]] for seed in SEEDS}
            history.append((dict(states), rows))
            for seed, (state, trial) in loop.stage(index, states, rows, witness).items():
                states[seed] = state
                trials[seed].append(trial)
    return loop, states, trials, history, witness.told, dict(TRACES)


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_a_seed_learns_what_it_learns_alone(seed, whole):
    """Batched products round in another order: a few 1e-7 a number, 1e-6 after a fit and ten steps here."""
    _, states, trials, *_ = whole
    loop = loop_of([seed])
    state, rows = loop.init(seed), []
    for index in range(TRIALS + 1):
        state, trial = loop.stage(index, {seed: state}, {seed: rows}, Observer())[seed]
        rows.append(trial.row)
        together = trials[seed][index]
        assert together.arrays.keys() == trial.arrays.keys()
        for name in set(trial.arrays) - {"step_ms"}:
            np.testing.assert_allclose(together.arrays[name], trial.arrays[name], rtol=2e-5, atol=2e-5)
        assert together.row.env_steps == trial.row.env_steps
        if index > 0:
            assert together.row.metrics["model_nll"] == pytest.approx(trial.row.metrics["model_nll"], rel=1e-3)
    alone, ours = state.agent.data, states[seed].agent.data
    count, pending = int(ours.count), int(states[seed].pending.valid.sum())
    assert count == int(alone.count) == sum(len(trial.arrays["reward"]) for trial in trials[seed]) - pending
    np.testing.assert_array_equal(ours.trial, alone.trial)
    kept = np.concatenate([trial.arrays["obs"] for trial in trials[seed]])
    np.testing.assert_array_equal(ours.transitions.obs[:count], kept[:count])
    np.testing.assert_array_equal(states[seed].pending.transitions.obs[:pending, 0], kept[count:])
    assert not np.any(ours.transitions.obs[count:])


def test_seeds_end_their_trials_each_at_its_own_time(whole):
    _, _, trials, _, told, _ = whole
    lengths = [[len(trials[seed][index].arrays["reward"]) for seed in SEEDS] for index in range(TRIALS + 1)]
    assert len(set(lengths[TRIALS])) > 1, lengths  # or nothing is tested here
    assert max(map(max, lengths)) > EVERY, lengths
    for index in range(TRIALS + 1):
        last = [event[2] for event in told if event[:2] == ("stepped", index)][-1]
        assert last == {seed: len(trials[seed][index].arrays["reward"]) for seed in SEEDS}
    for _, index, fitted, losses in (event for event in told if event[0] == "fitted"):
        assert index > 0
        assert set(fitted) <= set(SEEDS)
        assert len(set(losses)) == len(losses)


def test_one_compile_for_fit_and_one_for_act(whole):
    """Over all seeds, trials and fits within trials, with growing data and moving weights."""
    *_, told, traces = whole
    assert sum(event[0] == "fitting" for event in told) > TRIALS
    assert traces == {"fit": 1, "act": 1}


@pytest.mark.parametrize("lacking", [(0,), (3, 11)])
def test_a_trial_that_some_have_is_run_again_for_the_others_to_the_last_bit(lacking, whole):
    """As after a crash between two saves: those that have it come with what they are after it."""
    loop, after, trials, history, *_ = whole
    states, rows = history[TRIALS]
    states = states | {seed: after[seed] for seed in SEEDS if seed not in lacking}
    rows = rows | {seed: [trial.row for trial in trials[seed]] for seed in SEEDS if seed not in lacking}
    done = loop.stage(TRIALS, states, rows, Witness())
    assert sorted(done) == sorted(lacking)
    for seed, (state, trial) in done.items():
        same(state, after[seed])
        assert untimed(trial.row) == untimed(trials[seed][TRIALS].row)


def test_a_seed_that_meets_what_is_not_finite_is_named():
    env = Fragile(task=dataclasses.replace(PointMass().task, horizon=TRIAL), start_limit=jnp.full(4, jnp.nan))
    loop = loop_of(SEEDS, env=env)
    states = {seed: loop.init(seed) for seed in SEEDS}
    with pytest.raises(InputError, match=r"^seed 3: the environment gave .* not finite at step 1 of a trial"):
        loop.stage(0, states, {seed: [] for seed in SEEDS}, Witness())


def test_work_that_is_shared_by_seeds_is_not_shared_again():
    """A mesh may be anywhere in an agent; what has none stays the object that it is."""
    mesh = jax.make_mesh((1,), ("devices",))
    agent = loop_of(SEEDS).agent
    inner = ResidualLearner(LinearLearner(), dataclasses.replace(agent.learner, mesh=mesh))
    alone = undivided(dataclasses.replace(agent, learner=inner, mesh=mesh))
    assert alone.mesh is None
    assert alone.learner.correction.mesh is None
    assert alone.planner is agent.planner
    assert undivided(agent) is agent


def sessions_of(path):
    loop = loop_of(SEEDS)
    config = {"task": "point-mass", "agent": "pets", "trials": 1, "seeds": "3,0"}
    folder = GroupFolder(path) if (path / "group.json").exists() else GroupFolder.create(path, config)
    made = {}
    for seed in seeds_of(folder.config()["seeds"]):
        own = {**config, "seed": seed}
        made[seed] = Session(folder.member(seed).kept_with(own), loop.system, loop.agent, own)
    return made


def trained(path):
    train(sessions_of(path), Witness())


def test_every_write_is_a_safe_place_to_crash(tmp_path, monkeypatch):
    """Killed just before or just after each write of a group, in turn, and resumed: as if nothing had happened."""
    trained(tmp_path / "whole")
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
    count = 3 + 2 * 3 * 2  # three configurations; for each seed and trial its record, the state, the metrics
    for moment in range(1, count + 1):
        path = tmp_path / str(moment)
        writes[0], at[0] = 0, moment if moment % 2 else -moment
        with pytest.raises(Killed):
            trained(path)
        at[0] = 0
        trained(path)
        for seed in (3, 0):
            one, other = (folder / f"seed-{seed}" for folder in (path, tmp_path / "whole"))
            assert metrics(one) == metrics(other)
            states = [checkpoint.load_arrays(run / "checkpoints" / "state.npz")[0] for run in (one, other)]
            assert states[0].keys() == states[1].keys()
            assert all(states[0][name].tobytes() == states[1][name].tobytes() for name in states[0])


@pytest.mark.parametrize(
    ("text", "seeds"),
    {"3": [3], "0-2": [0, 1, 2], "0,2,5": [0, 2, 5], "0-1, 7": [0, 1, 7], "4-4": [4], "9,0-1": [9, 0, 1]}.items(),
)
def test_seeds_are_named_one_by_one_or_in_ranges(text, seeds):
    assert seeds_of(text) == seeds


@pytest.mark.parametrize(
    ("text", "part"),
    {
        "": "numbers and ranges",
        "a": "'a'",
        "1-": "'1-'",
        "-1": "'-1'",
        "0..4": "'0..4'",
        "3-1": "'3-1'",
        "0-3,2": "names 2 twice",
        "0-99999999999": "at most 1000",
        "0-500,600-1200": "at most 1000",
        "²": "numbers and ranges",
    }.items(),
)
def test_what_names_no_seeds_is_refused(text, part):
    with pytest.raises(InputError, match=part):
        seeds_of(text)


def untimed(row):
    return {name: value for name, value in (vars(row) | row.metrics).items() if name not in TIMES | {"metrics"}}


def metrics(path):
    rows = list(csv.DictReader((path / "metrics.csv").read_text().splitlines()))
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
