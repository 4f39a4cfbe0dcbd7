"""One iteration of CEM against the paper's update, rewritten in NumPy and given the same noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.planning.cem import CEM, CEMState
from probes import reached, reaching, same

HORIZON, CANDIDATES, ELITES = 5, 40, 7
OBS = np.array([0.3, 0.2])
LOW, HIGH = np.array([-1.0, -2.0]), np.array([1.5, 0.8])
IMPROVE = eqx.filter_jit(lambda planner, *args: planner.improve(*args))


def planner(**settings):
    return CEM(HORIZON, CANDIDATES, ELITES, **settings)


def some_state():
    """Means near and far from the limits, variances above and below what fits."""
    rng = np.random.default_rng(8)
    mean = LOW + (HIGH - LOW) * rng.uniform(0.05, 0.95, (HORIZON, 2))
    return mean, rng.permutation(np.geomspace(0.002, 1.5, 2 * HORIZON)).reshape(HORIZON, 2)


def paper(key, mean, var, smoothing, edge=9.0):
    """[Chua18] and its code: var limited by the room to the limits, samples truncated at two stds, biased variance."""
    noise = np.asarray(
        jax.random.truncated_normal(jax.random.split(key)[0], -2.0, 2.0, (CANDIDATES, HORIZON, 2)), float
    )
    limited = np.minimum(np.minimum(((mean - LOW) / 2) ** 2, ((HIGH - mean) / 2) ** 2), var)
    plans = mean + np.sqrt(limited) * noise
    assert (limited < var).any()
    assert (limited == var).any()
    assert (plans >= LOW).all()
    assert (plans <= HIGH).all()
    returns = reached(OBS, plans, edge)
    best = np.argsort(-returns)[:ELITES]
    elites = plans[best[np.isfinite(returns[best])]]
    new_mean = smoothing * mean + (1 - smoothing) * elites.mean(0)
    return new_mean, smoothing * var + (1 - smoothing) * elites.var(0), returns, len(elites)


def f32(*values):
    return tuple(jnp.asarray(value, jnp.float32) for value in values)


@pytest.mark.parametrize("smoothing", [0.1, 0.35, 0.0])
@pytest.mark.parametrize("edge", [9.0, 0.05], ids=["all finite", "fewer finite than elites"])
def test_one_iteration_is_the_papers(smoothing, edge):
    mean, var = some_state()
    if edge < 1:
        mean[:, 1] = -0.05 + 0.1 * np.arange(HORIZON) / HORIZON  # near the edge, so that few plans stay below it
    key = jax.random.key(3)
    state, info = IMPROVE(planner(smoothing=smoothing), key, reaching(edge), f32(OBS)[0], CEMState(*f32(mean, var)))
    new_mean, new_var, returns, count = paper(key, mean, var, smoothing, edge)
    assert (count == ELITES) == (edge == 9.0)
    assert count > 1
    np.testing.assert_allclose(state.mean, new_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state.var, new_var, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(info.best, returns.max(), rtol=1e-5)
    np.testing.assert_allclose(info.elite, np.sort(returns)[::-1][:count].mean(), rtol=1e-5)
    np.testing.assert_allclose(info.finite, np.isfinite(returns).mean(), rtol=1e-6)


def test_it_stops_once_the_largest_variance_is_small():
    mean, _ = some_state()
    for largest, stopped in ((0.999e-3, True), (1.01e-3, False)):
        var = np.full((HORIZON, 2), 1e-4)
        var[2, 1] = largest * 1.4**2  # the second action's half-range is 1.4
        before = CEMState(*f32(mean, var))
        after, _ = IMPROVE(planner(), jax.random.key(3), reaching(), f32(OBS)[0], before)
        assert eqx.tree_equal(before, after).item() == stopped
    after, _ = IMPROVE(planner(converged=2e-3), jax.random.key(3), reaching(), f32(OBS)[0], before)
    same(after, before)


def test_it_starts_in_the_middle_with_a_quarter_of_the_range():
    state = planner().init(reaching())
    np.testing.assert_allclose(state.mean, np.tile([0.25, -0.6], (HORIZON, 1)), rtol=1e-6)
    np.testing.assert_allclose(state.var, np.tile([0.625**2, 0.7**2], (HORIZON, 1)), rtol=1e-6)


def test_the_next_step_starts_from_the_plan_moved_on_and_looks_as_widely_as_ever():
    mean, var = some_state()
    state = planner().shift(reaching(), CEMState(*f32(mean, var)))
    np.testing.assert_allclose(state.mean, [*mean[1:], [0.25, -0.6]], rtol=1e-6)
    np.testing.assert_allclose(state.var, np.tile([0.625**2, 0.7**2], (HORIZON, 1)), rtol=1e-6)


def test_the_plan_is_the_mean():
    mean, var = some_state()
    state = CEMState(*f32(mean, var))
    same(planner().plan(state), state.mean)
