"""The verdict on a model and the errors that it is compared with, in NumPy."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from handful.scores.baselines import Baselines, baselines
from handful.scores.trust import BEHIND, COVERED, PREDICTED, Trust, predicted_share, trust
from handful.scores.windows import cut
from handful.types import Transition

UNCHANGED = np.array([[0.3, 2.0], [0.5, 3.0], [0.9, 4.0]])


def judged(coverage=1.0, share=0.9, by_linear=0.0, units=(1.0, 1.0), size=(7.0, 9.0)):
    """The verdict where that share of each entry's squared change is predicted."""
    wide = lambda value: np.broadcast_to(np.asarray(value, float), (3, 2))
    units, changed = np.asarray(units), UNCHANGED * np.asarray(units)
    rmse, linear = (changed * np.sqrt(1 - wide(value)) for value in (share, by_linear))
    scale = 0.7 * changed
    return trust(wide(coverage), rmse / scale, Baselines(changed, linear, scale, np.asarray(size) * units))


@pytest.mark.parametrize(("given", "expected"), [
    ({}, Trust(3, (), None)),
    ({"coverage": [[0.9, 0.9], [0.85, 0.65], [1, 1]]}, Trust(1, ("coverage",), None)),  # entries are pooled
    ({"coverage": COVERED - 0.01, "share": 0.3}, Trust(0, ("coverage", "unchanged"), 0)),
    ({"share": 0.3}, Trust(0, ("unchanged",), 0)),
    ({"share": [[0.9, 0.9], [0.9, 0.9], [0.9, PREDICTED - 0.01]]}, Trust(2, ("unchanged",), 1)),  # entries are not
    ({"share": 0.6, "by_linear": [[0.0, 0.6 + BEHIND + 0.01]] * 3}, Trust(0, ("linear",), 1)),
    ({"share": 0.99, "by_linear": 1.0}, Trust(3, (), None)),  # both are good
    ({"share": -np.inf}, Trust(0, ("unchanged", "linear"), 0)),
    ({"share": np.nan, "coverage": np.nan}, Trust(0, ("coverage", "unchanged", "linear"), 0)),
    ({"by_linear": -np.inf}, Trust(3, (), None)),  # a linear model that leaves all bounds
    ({"share": [[0.9, -9.0]] * 3, "size": (7.0, 1e9)}, Trust(3, (), None)),  # changes of rounding alone
])  # fmt: skip
def test_each_limb_ends_trust(given, expected):
    assert judged(**given) == expected


@pytest.mark.parametrize("given", [{}, {"share": [[0.4, 0.3]] * 3}, {"coverage": 0.5}])
def test_the_verdict_is_the_same_in_all_units(given):
    assert judged(**given, units=(1e-9, 2.5e7)) == judged(**given)


def logs(dynamics, trials=3, steps=30, seed=0):
    rng = np.random.default_rng(seed)
    made = {}
    for number in range(trials):
        obs, action = [rng.normal(0.4, 1.0, 2)], rng.uniform(-1, 1.5, (steps, 1))
        for one in action:
            obs.append(dynamics(obs[-1], one))
        made[number] = trial_of(np.array(obs), action)
    return made


def trial_of(obs, action):
    obs, action, no = jnp.asarray(obs, jnp.float32), jnp.asarray(action, jnp.float32), jnp.zeros(len(action), bool)
    return Transition(obs[:-1], action, jnp.zeros(len(action)), obs[1:], no, no)


def test_a_linear_system_is_predicted_exactly_and_persistence_by_no_step():
    trials = logs(lambda obs, action: obs @ [[0.9, -0.2], [0.3, 0.8]] + action * [0.5, -0.7] + 0.3)
    windows = cut({2: trials[2]}, 4)
    known = baselines({0: trials[0], 1: trials[1]}, windows)
    truth, start = (np.asarray(each, float) for each in (windows.truth, windows.obs))
    np.testing.assert_allclose(known.linear, 0, atol=1e-5)  # windows are in single precision
    np.testing.assert_allclose(known.unchanged, np.sqrt(((truth - start[:, None]) ** 2).mean(0)), rtol=1e-6)
    np.testing.assert_allclose(known.in_units(np.ones((4, 2))), windows.scale, rtol=1e-6)


def test_an_angle_enters_by_sine_and_cosine():
    """A pendulum without friction, once as it is and once wound at half a turn."""
    trials = logs(lambda obs, action: obs + np.array([0.3 * obs[1], -0.5 * np.sin(obs[0])]) + action * [0, 0.4])
    half_turn = lambda obs: obs.at[:, 0].set(jnp.mod(obs[:, 0] + jnp.pi, 2 * jnp.pi) - jnp.pi)
    wound = {
        n: dataclasses.replace(trial, obs=half_turn(trial.obs), next_obs=half_turn(trial.next_obs))
        for n, trial in trials.items()
    }
    found = [baselines(each, cut(each, 3, angles=(0,)), angles=(0,)) for each in (trials, wound)]
    np.testing.assert_allclose(found[0].linear, found[1].linear, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found[0].linear, 0, atol=1e-4)


def test_an_unmodelled_dead_time_is_not_trusted():
    """A linear model of data in which an action works five steps late, with an honest band."""
    rng, trials = np.random.default_rng(1), {}
    for number in range(4):
        action, level = rng.uniform(-1, 1, (90, 1)), [0.3]
        for step in range(90):
            level.append(0.9 * level[-1] + (action[step - 5, 0] if step >= 5 else 0.0))
        trials[number] = trial_of(np.array(level)[:, None], action)
    windows = cut({3: trials[3]}, 5)
    known = baselines({n: trials[n] for n in range(3)}, windows)
    assert 0 < predicted_share(known.linear, known)[0, 0] < PREDICTED
    found = trust(np.full((5, 1), 0.95), known.linear / known.scale, known)
    assert found == Trust(0, ("unchanged",), 0)
