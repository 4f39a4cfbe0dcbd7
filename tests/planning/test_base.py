"""What planners share: elites, their moments, the loop, and noise with a colour."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handful.planning.base import elites_of, mean_and_variance, moved_on, optimise
from handful.planning.noise import coloured
from handful.planning.shooting import RandomShooting
from probes import jitted, reaching

PLANS = jnp.asarray(np.random.default_rng(1).normal(size=(9, 3, 2)), jnp.float32)
values = st.lists(st.one_of(st.just(-np.inf), st.floats(-1e6, -1, width=32)), min_size=9, max_size=9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(values, st.integers(1, 9))
def test_elites_are_the_best_finite_plans_and_moments_are_theirs_alone(returns, count):
    """Every real return here is below zero, so one that counted a poisoned plan as zero would put it first."""
    elites, finite, info = jax.device_get(jitted(elites_of, PLANS, jnp.array(returns, jnp.float32), count))
    order = np.argsort(-np.array(returns), kind="stable")[:count]
    real = [index for index in order if np.isfinite(returns[index])]
    assert finite.tolist() == [True] * len(real) + [False] * (count - len(real))
    np.testing.assert_array_equal(elites[: len(real)], np.asarray(PLANS)[np.array(real, int)])
    np.testing.assert_allclose(info.finite, np.isfinite(returns).mean(), rtol=1e-6)
    assert info.best == max(returns)
    mean, var = jitted(mean_and_variance, jnp.asarray(elites), jnp.asarray(finite))
    assert np.isfinite(mean).all()
    assert np.isfinite(var).all()
    if real:
        np.testing.assert_allclose(info.elite, np.mean([returns[index] for index in real]), rtol=1e-6)
        chosen = np.asarray(PLANS, float)[real]
        np.testing.assert_allclose(mean, chosen.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(var, chosen.var(0), rtol=1e-4, atol=1e-6)  # biased, as in the released code


def test_a_plan_that_is_not_finite_itself_leaves_no_trace_in_the_moments():
    poisoned = PLANS.at[4].set(jnp.nan)
    counted = jnp.arange(9) != 4
    mean, var = jitted(mean_and_variance, poisoned, counted)
    kept = np.delete(np.asarray(PLANS, float), 4, axis=0)
    np.testing.assert_allclose(mean, kept.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(var, kept.var(0), rtol=1e-4)


def test_moved_on():
    plan = np.asarray(moved_on(PLANS[0], jnp.array([7.0, 8.0])))
    np.testing.assert_array_equal(plan, [PLANS[0, 1], PLANS[0, 2], [7.0, 8.0]])


def test_the_loop_runs_all_iterations_with_fresh_keys():
    """Shooting keeps the best it has seen, so what each iteration saw tells what it drew."""
    planner = RandomShooting(4, candidates=7, iterations=5)
    problem, obs = reaching(), jnp.array([0.3, 0.2])
    state, info = jitted(optimise, planner, jax.random.key(2), problem, obs, jitted(planner.init, problem))
    assert len(np.unique(info.best)) == 5
    assert state.value == info.best.max()
    np.testing.assert_allclose(
        jitted(problem.evaluate, jax.random.key(3), obs, state.best[None]), info.best.max(), rtol=1e-6
    )


@pytest.mark.parametrize("colour", [0.0, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("horizon", [32, 33])
def test_noise_has_its_colour_and_unit_variance(colour, horizon):
    """Power over frequency falls as f^-colour, without a window: exact but for 20000 draws.

    The log of a mean power of 40000 has a std of 0.005, a slope over 15 such of about 0.003; 5 of them are allowed,
    as for variances (std 0.007 each).
    """
    noise = np.asarray(jitted(coloured, jax.random.key(4), (20_000, horizon, 2), jnp.asarray(colour)), float)
    assert noise.shape == (20_000, horizon, 2)
    np.testing.assert_allclose(noise.var(0), 1, atol=5 * np.sqrt(2 / 20_000))
    np.testing.assert_allclose(noise.mean(0), 0, atol=5 / np.sqrt(20_000))
    power = (np.abs(np.fft.rfft(noise, axis=1)) ** 2).mean((0, 2))
    frequency = np.fft.rfftfreq(horizon)
    inner = slice(1, -1 if horizon % 2 == 0 else None)
    slope = np.polyfit(np.log(frequency[inner]), np.log(power[inner]), 1)[0]
    np.testing.assert_allclose(slope, -colour, atol=0.02)
    np.testing.assert_allclose(power[0] / power[1], 1, atol=0.1)  # zero frequency has the power of the lowest one
    across = np.mean(noise[:, :, 0] * noise[:, :, 1])
    np.testing.assert_allclose(across, 0, atol=5 / np.sqrt(20_000))  # actions are independent of each other


@pytest.mark.parametrize("horizon", [1, 2, 7, 8])
def test_colour_zero_is_white(horizon):
    """No correlation between any two steps; 5 standard errors of 40000 draws."""
    noise = np.asarray(jitted(coloured, jax.random.key(5), (40_000, horizon, 1), jnp.asarray(0.0)))[:, :, 0]
    np.testing.assert_allclose(np.cov(noise.T, bias=True), np.eye(horizon), atol=5 * np.sqrt(2 / 40_000))
