"""The record of a round, what a round leaves in a folder, and a run that stopped on the way."""

import jax
import numpy as np
import pytest

from handful.errors import InputError
from handful.training.hosted import Hosted
from handful.training.learn import Silent
from handful.training.rounds import PolicyLearning, Rounds
from handful.training.run import RunFolder
from handful.training.session import Session
from handful.training.system import Simulated
from practising import HIGH, HORIZON, LOW, Nudge, Slope, hosted
from probes import same

SEED, TRIALS, UPDATES = 3, 2, 2


def session(path, system, learner, trials=TRIALS):
    """A run in a folder, new or to go on with."""
    config = {"task": "slope", "agent": "nudge", "seed": SEED, "trials": trials}
    folder = RunFolder(path) if (path / "config.json").exists() else RunFolder.create(path, config)
    return Session(folder, system, PolicyLearning(learner, UPDATES), config)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A finished run on a simulator, and the state after each round."""
    run, states = session(tmp_path_factory.mktemp("simulated") / "run", Simulated(Slope()), Nudge()), []
    keep = run.keep
    run.keep = lambda state, trial: (states.append(state), keep(state, trial))
    run.train(Silent())
    return run, states


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "copied"])
def on_host(request, tmp_path_factory):
    """A finished run in one environment on the host, or in two side by side."""
    learner = Nudge(envs=request.param, length=10 // request.param)
    run = session(tmp_path_factory.mktemp("hosted") / "run", Hosted(hosted(copied=True)), learner)
    run.train(Silent())
    return run


def test_steps_are_those_that_were_learned_from(simulated, on_host):
    run, _ = simulated
    assert [row.env_steps for row in run.rows] == [0, 24, 48]  # 2 updates of 3 environments for 4 steps
    assert [row.env_steps for row in on_host.rows] == [0, 20, 40]
    for row in (*run.rows, *on_host.rows):
        absent = (row.planned_return, row.model_nll, row.model_rmse, row.plan_ms_p50, row.plan_ms_p99)
        assert absent == (None,) * 5
    assert (run.steps, on_host.steps) == (24, 20)


def test_a_simulator_shows_a_trial_under_what_was_learned(simulated):
    """Without noise, and at the right moment: round 0 shows the untrained policy."""
    run, states = simulated
    for index, state in enumerate(states):
        arrays = run.folder.trial(index)
        expected = np.clip(arrays["obs"] @ np.asarray(state.learner["gain"]).T, LOW, HIGH)
        np.testing.assert_allclose(arrays["action"], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(arrays["obs"][1:], arrays["next_obs"][:-1])
        ends = arrays["terminated"] | arrays["truncated"]
        assert ends.tolist() == [False] * (len(ends) - 1) + [True]
        assert arrays["truncated"][-1] == (len(ends) == HORIZON and not arrays["terminated"][-1])
    gains = [np.asarray(state.learner["gain"]) for state in states]
    assert not np.allclose(gains[0], gains[1], atol=1e-3)
    assert not np.allclose(gains[1], gains[2], atol=1e-3)


def test_the_host_shows_the_first_trial_of_the_round(on_host):
    """Noise and all; it takes no step beside those, but for the untrained policy's."""
    gain = np.asarray(on_host.state.learner["gain"])
    assert on_host.state.learner["updates"] == TRIALS * UPDATES
    for index in (1, 2):
        arrays = on_host.folder.trial(index)
        assert (arrays["terminated"] | arrays["truncated"]).sum() == 1
        assert (arrays["terminated"] | arrays["truncated"])[-1]
        assert np.abs(arrays["action"] - np.clip(arrays["obs"] @ gain.T, LOW, HIGH)).max() > 0.1
    untrained = len(on_host.folder.trial(0)["reward"])
    first, *others = [env.env.unwrapped.steps for env in on_host.system.side_by_side(on_host.loop.agent.envs)]
    assert first + sum(others) == untrained + on_host.rows[-1].env_steps
    assert others == [20] * len(others)


def test_the_return_of_the_untrained_policy_is_that_of_its_trial(on_host):
    assert on_host.rows[0].return_ == pytest.approx(on_host.folder.trial(0)["reward"].sum(), rel=1e-5)


def test_the_return_is_the_mean_of_the_trials_that_ended():
    one = Rounds(Hosted(hosted()), Nudge(envs=1, length=20), jax.random.key(SEED), trials=1, updates=1)
    state, first = one.trial(0, one.init(), [], Silent())
    state, second = one.trial(1, state, [first.row], Silent())
    batch, returns, going = state.learner["batch"], [], 0.0
    for row in range(20):
        going += float(batch["reward"][row, 0])
        if batch["terminated"][row, 0] or batch["truncated"][row, 0]:
            returns.append(going)
            going = 0.0
    assert len(returns) > 2
    assert going != 0  # the trial that the end of the round cut off counts for nothing
    assert second.row.return_ == pytest.approx(np.mean(returns), rel=1e-5)


def test_a_round_in_which_no_trial_ended_has_the_return_of_the_one_shown():
    short = Rounds(Simulated(Slope()), Nudge(length=1), jax.random.key(SEED), trials=1, updates=1)
    state, first = short.trial(0, short.init(), [], Silent())
    _, second = short.trial(1, state, [first.row], Silent())
    assert second.row.env_steps == 3
    assert len(second.arrays["reward"]) > 1
    assert second.row.return_ == pytest.approx(second.arrays["reward"].sum(), rel=1e-5)


def test_what_an_update_told_is_kept_one_by_one(simulated, on_host):
    run, _ = simulated
    for each in (run, on_host):
        assert not [name for name in each.folder.trial(0) if name.startswith("told_")]
        told = each.folder.trial(1)
        assert told["told_push"].shape == told["told_reward"].shape == (UPDATES,)
        assert each.folder.trial(2)["told_push"][0] != told["told_push"][0]


def test_a_run_that_stopped_goes_on_to_the_last_bit(simulated, on_host, tmp_path):
    run, _ = simulated
    for whole, system, learner in (
        (run, Simulated(Slope()), Nudge()),
        (on_host, Hosted(hosted(copied=True)), on_host.loop.agent),
    ):
        path = tmp_path / type(system).__name__
        session(path, system, learner, trials=1).train(Silent())
        again = session(path, system, learner)
        assert again.done == 2
        again.train(Silent())
        same(again.state, whole.state)
        assert [(row.env_steps, row.return_) for row in again.rows] == [
            (row.env_steps, row.return_) for row in whole.rows
        ]
        for name, values in whole.folder.trial(2).items():
            if name != "step_ms":
                np.testing.assert_array_equal(again.folder.trial(2)[name], values)


def test_what_is_not_finite_loses_no_round_before(tmp_path):
    run = session(tmp_path / "run", Hosted(hosted(poison=40)), Nudge(envs=1, length=10), trials=5)
    with pytest.raises(InputError, match="must be finite"):
        run.train(Silent())
    done = session(tmp_path / "run", Hosted(hosted()), Nudge(envs=1, length=10), trials=5)
    assert 1 <= done.done - 1 < 5
    assert done.rows == run.rows
    same(done.state, run.state)


def test_films_are_of_every_tenth_round_and_of_the_last():
    rounds = Rounds(Simulated(Slope()), Nudge(), jax.random.key(SEED), trials=23, updates=1)
    assert [index for index in range(24) if rounds.films(index)] == [0, 10, 20, 23]


def test_a_film_is_of_the_trial_that_is_shown():
    """From its start to its end, in a round that goes on long after."""
    env = hosted()
    frames = []
    env.draw = lambda: frames.append(env.env.unwrapped.time) or np.full((4, 6, 3), len(frames), np.uint8)
    system = Hosted(env)
    system.filming = True
    rounds = Rounds(system, Nudge(envs=1, length=10), jax.random.key(SEED), trials=1, updates=UPDATES)
    state, first = rounds.trial(0, rounds.init(), [], Silent())
    frames.clear()
    _, trial = rounds.trial(1, state, [first.row], Silent())
    assert frames == list(range(len(trial.arrays["reward"]) + 1))
    assert system.film.times == frames
