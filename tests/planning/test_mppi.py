"""MPPI and random shooting against NumPy, given the same noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.planning.mppi import MPPI, MPPIState
from handful.planning.noise import coloured
from handful.planning.shooting import RandomShooting
from probes import reached, reaching

HORIZON, OBS, KEY = 5, np.array([0.3, 0.2]), jax.random.key(7)
LOW, HIGH = np.array([-1.0, -2.0]), np.array([1.5, 0.8])
MEAN = LOW + (HIGH - LOW) * np.random.default_rng(8).uniform(0.2, 0.6, (HORIZON, 2))
START = jnp.asarray(OBS, jnp.float32)
IMPROVE = eqx.filter_jit(lambda planner, *args: planner.improve(*args))


@pytest.mark.parametrize("edge", [9.0, 0.5], ids=["all finite", "some not"])
def test_plans_are_averaged_by_their_exponential_returns(edge):
    planner = MPPI(HORIZON, candidates=30, temperature=0.4, std=0.6, colour=1.1)
    state, info = IMPROVE(planner, KEY, reaching(edge), START, MPPIState(jnp.asarray(MEAN, jnp.float32)))
    noise = np.asarray(coloured(jax.random.split(KEY)[0], (29, HORIZON, 2), jnp.asarray(1.1)), float)
    plans = np.concatenate([np.clip(MEAN + 0.6 * (HIGH - LOW) / 2 * noise, LOW, HIGH), MEAN[None]])
    returns = reached(OBS, plans, edge)
    real = np.isfinite(returns)
    assert real.all() == (edge == 9.0)
    assert real.sum() > 5
    weight = np.exp((returns[real] - returns.max()) / (0.4 * returns[real].std()))
    expected = np.einsum("n,nha->ha", weight / weight.sum(), plans[real])
    np.testing.assert_allclose(state.mean, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(info.best, returns.max(), rtol=1e-5)
    np.testing.assert_allclose(info.finite, real.mean(), rtol=1e-6)


def test_the_control_cost_weighs_candidates_as_published():
    """`exp(value / temperature - sum_t u_t . mean_t / std^2)`, with actions from the middle of the limits."""
    planner = MPPI(HORIZON, candidates=30, temperature=0.4, std=0.6, colour=0.0, control_cost=1.0)
    state, _ = IMPROVE(planner, KEY, reaching(), START, MPPIState(jnp.asarray(MEAN, jnp.float32)))
    noise = np.asarray(coloured(jax.random.split(KEY)[0], (29, HORIZON, 2), jnp.asarray(0.0)), float)
    std, centre = 0.6 * (HIGH - LOW) / 2, (HIGH + LOW) / 2
    plans = np.concatenate([np.clip(MEAN + std * noise, LOW, HIGH), MEAN[None]])
    returns = reached(OBS, plans)
    exponent = (returns - returns.max()) / (0.4 * returns.std())
    exponent = exponent - ((plans - centre) * (MEAN - centre) / std**2).sum((1, 2))
    weight = np.exp(exponent - exponent.max())
    expected = np.einsum("n,nha->ha", weight / weight.sum(), plans)
    np.testing.assert_allclose(state.mean, expected, rtol=1e-4, atol=1e-5)


def test_a_cold_average_is_the_best_plan_and_a_hot_one_the_plain_mean():
    problem, start = reaching(), MPPIState(jnp.asarray(MEAN, jnp.float32))
    cold, info = IMPROVE(MPPI(HORIZON, candidates=30, temperature=1e-6), KEY, problem, START, start)
    np.testing.assert_allclose(reached(OBS, np.asarray(cold.mean)[None])[0], info.best, rtol=1e-5)
    hot, _ = IMPROVE(MPPI(HORIZON, candidates=30, temperature=1e6, std=0.1), KEY, problem, START, start)
    noise = np.asarray(coloured(jax.random.split(KEY)[0], (29, HORIZON, 2), jnp.asarray(2.0)), float)
    plans = np.concatenate([np.clip(MEAN + 0.1 * (HIGH - LOW) / 2 * noise, LOW, HIGH), MEAN[None]])
    np.testing.assert_allclose(hot.mean, plans.mean(0), rtol=1e-4, atol=1e-5)


def test_equal_returns_are_averaged_and_not_divided_by_zero():
    """No candidate differs from another: a std of zero."""
    start = MPPIState(jnp.asarray(MEAN, jnp.float32))
    state, _ = IMPROVE(MPPI(HORIZON, candidates=30, std=0.0), KEY, reaching(), START, start)
    np.testing.assert_allclose(state.mean, MEAN, rtol=1e-5)


def test_mppi_moves_on_and_repeats_its_last_action():
    later = MPPI(HORIZON).shift(reaching(), MPPIState(jnp.asarray(MEAN, jnp.float32)))
    np.testing.assert_allclose(later.mean, [*MEAN[1:], MEAN[-1]], rtol=1e-6)


def test_shooting_keeps_the_best_of_all_it_has_seen():
    planner, problem = RandomShooting(HORIZON, candidates=25), reaching(0.6)
    state = planner.init(problem)
    seen, plans = [-np.inf], [np.asarray(planner.plan(state))]
    for key in jax.random.split(KEY, 6):
        draw = jax.random.uniform(jax.random.split(key)[0], (25, HORIZON, 2), minval=LOW, maxval=HIGH)
        returns = reached(OBS, draw, 0.6)
        assert not np.isfinite(returns).all()
        seen.append(returns.max())
        plans.append(np.asarray(draw[returns.argmax()]))
        state, info = IMPROVE(planner, key, problem, START, state)
        np.testing.assert_allclose(info.best, returns.max(), rtol=1e-5)
        np.testing.assert_allclose(planner.plan(state), plans[int(np.argmax(seen))], rtol=1e-5)
    assert 1 < np.argmax(seen) < 6, "the best is neither the first nor the last, or the test shows less than it says"
    fresh = planner.shift(problem, state)
    assert fresh.value == -np.inf, "another observation is evaluated again"
