"""Rounds of seeds side by side: what each does alone, up to rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import handful.training.rounds_together as together_module
from handful.errors import InputError
from handful.training.group import together
from handful.training.hosted import Hosted
from handful.training.learn import Silent
from handful.training.rounds import Rounds
from handful.training.rounds_together import RoundsTogether
from handful.training.system import Simulated
from practising import Nudge, Slope, hosted
from probes import close, same

SEEDS, UPDATES = (3, 0, 11), 3


class Witness(Silent):
    """Remembers how far the rounds were, each time it was told."""

    def __init__(self):
        self.seen, self.rounds = [], []

    def stepped(self, trial, tallies, step_ms):
        self.seen.append((trial, {seed: tally.steps for seed, tally in tallies.items()}))

    def finished(self, trials):
        self.rounds.append(sorted(trials))


def loops(env=None):
    env = Slope() if env is None else env
    return {seed: Rounds(Simulated(env), Nudge(), jax.random.key(seed), trials=2, updates=UPDATES) for seed in SEEDS}


@pytest.fixture(scope="module")
def alone():
    """States and records of each seed by itself, round by round."""
    runs = {}
    for seed, loop in loops().items():
        state, rows, done = loop.init(), [], []
        for index in range(3):
            state, trial = loop.trial(index, state, rows, Silent())
            rows.append(trial.row)
            done.append((state, trial))
        runs[seed] = done
    return runs


@pytest.fixture(scope="module")
def side_by_side():
    each, witness = loops(), Witness()
    rounds, states = RoundsTogether(each), {seed: loop.init() for seed, loop in each.items()}
    rows, runs = {seed: [] for seed in SEEDS}, {seed: [] for seed in SEEDS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handful.training.practice.LOOK", 24)  # chunks of two updates and one
        for index in range(3):
            for seed, (state, trial) in rounds.trial(index, states, rows, witness).items():
                states[seed] = state
                rows[seed].append(trial.row)
                runs[seed].append((state, trial))
    return rounds, runs, witness


def test_each_seed_does_what_it_does_alone(alone, side_by_side):
    _, runs, _ = side_by_side
    for seed in SEEDS:
        for (one, own), (other, theirs) in zip(runs[seed], alone[seed], strict=True):
            close(jax.tree.map(jnp.asarray, one), jax.tree.map(jnp.asarray, other), rtol=1e-4, atol=1e-5)
            assert (own.row.trial, own.row.env_steps) == (theirs.row.trial, theirs.row.env_steps)
            assert own.row.return_ == pytest.approx(theirs.row.return_, rel=1e-4, abs=1e-5)
            assert set(own.arrays) == set(theirs.arrays)
            for name in set(own.arrays) - {"step_ms"}:
                np.testing.assert_allclose(own.arrays[name], theirs.arrays[name], rtol=1e-3, atol=1e-4, err_msg=name)
    gains = [np.asarray(runs[seed][-1][0].learner["gain"]) for seed in SEEDS]
    assert not np.allclose(gains[0], gains[1], atol=1e-2)
    assert not np.allclose(gains[1], gains[2], atol=1e-2)


def test_who_watches_sees_all_seeds_grow(side_by_side):
    _, _, witness = side_by_side
    assert witness.seen == [(index, dict.fromkeys(SEEDS, steps)) for index in (1, 2) for steps in (24, 36)]
    assert witness.rounds == [sorted(SEEDS)] * 3


def test_a_seed_that_has_the_round_already_keeps_it(side_by_side):
    """As after a crash between two seeds: it fills its place, and the others do as they would."""
    rounds, runs, _ = side_by_side
    states = {seed: runs[seed][1][0] for seed in SEEDS} | {0: runs[0][2][0]}
    rows = {seed: [trial.row for _, trial in runs[seed][: 3 if seed == 0 else 2]] for seed in SEEDS}
    done = rounds.trial(2, states, rows, Witness())
    assert set(done) == {3, 11}
    for seed, (state, trial) in done.items():
        close(state, runs[seed][2][0], rtol=1e-4, atol=1e-5)  # the chunks were others
        assert trial.row.env_steps == runs[seed][2][1].row.env_steps


def test_a_seed_that_meets_no_number_is_named_and_nobody_has_the_round(alone):
    each, told = loops(Slope(poison=jnp.asarray(0.95))), Witness()
    states = {seed: loop.init() for seed, loop in each.items()}
    rows = {seed: [alone[seed][0][1].row] for seed in SEEDS}
    with pytest.raises(InputError, match=r"seed (3|0|11): the environment gave .* not finite"):
        RoundsTogether(each).trial(1, states, rows, told)
    assert told.rounds == []


def test_loops_of_rounds_run_together_as_rounds():
    assert isinstance(together(loops()), RoundsTogether)


def test_a_system_on_the_host_has_no_copies():
    loop = Rounds(Hosted(hosted()), Nudge(envs=1), jax.random.key(0), trials=1, updates=1)
    with pytest.raises(TypeError, match="give each a process"):
        RoundsTogether({0: loop})


def test_nothing_compiles_again_from_round_to_round(side_by_side, monkeypatch):
    rounds, runs, _ = side_by_side
    calls = []
    real = together_module.several
    monkeypatch.setattr(together_module, "several", lambda *args: calls.append(1) or real(*args))
    monkeypatch.setattr("handful.training.practice.LOOK", 24)
    states = {seed: runs[seed][2][0] for seed in SEEDS}
    rows = {seed: [trial.row for _, trial in runs[seed]] for seed in SEEDS}
    done = rounds.trial(3, states, rows, Witness())
    assert calls == []
    assert all(trial.row.env_steps == 108 for _, trial in done.values())
    with pytest.raises(AssertionError):
        same(done[3][0], runs[3][2][0])
