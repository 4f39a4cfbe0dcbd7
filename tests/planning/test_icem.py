"""iCEM: populations that shrink, plans that come back, and an update rewritten in NumPy."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.planning.base import optimise
from handful.planning.icem import ICEM, ICEMState
from handful.planning.noise import coloured
from probes import reached, reaching, same

HORIZON, OBS = 5, np.array([0.3, 0.2])
LOW, HIGH = np.array([-1.0, -2.0]), np.array([1.5, 0.8])
IMPROVE = eqx.filter_jit(lambda planner, *args: planner.improve(*args))


def planner(**settings):
    return ICEM(HORIZON, **({"candidates": 40, "elites": 6, "keep": 3, "iterations": 4} | settings))


def some_state(usable=(True, False, True)):
    """The kept plans aim at the goal, each a little off, and the unusable one best of all."""
    rng = np.random.default_rng(8)
    aim = np.concatenate([[[1.5, -1.6], [1.5, 0.0]], np.zeros((3, 2))])
    kept = aim + np.array([0.05, 0.0, 0.1])[:, None, None] * rng.uniform(-1, 0, (3, HORIZON, 2))
    mean, std = rng.uniform(-0.9, 0.7, (HORIZON, 2)), rng.uniform(0.2, 0.9, (HORIZON, 2))
    values = [jnp.asarray(value, jnp.float32) for value in (mean, std, kept)]
    return ICEMState(*values, jnp.array(usable), values[0] + 0.01)


@pytest.mark.parametrize("usable", [(True, False, True), (False, False, False)])
def test_one_iteration_against_numpy(usable):
    one, state, key = planner(smoothing=0.2, colour=1.3), some_state(usable), jax.random.key(6)
    after, info = IMPROVE(one, key, reaching(), jnp.asarray(OBS, jnp.float32), state)
    noise = np.asarray(coloured(jax.random.split(key)[0], (36, HORIZON, 2), jnp.asarray(1.3)), float)
    drawn = np.asarray(state.mean) + np.asarray(state.std) * noise
    assert (drawn < LOW).any()
    assert (drawn > HIGH).any()
    real = [np.asarray(plan) for plan, counts in zip(state.kept, usable, strict=True) if counts]
    plans = np.stack([*np.clip(drawn, LOW, HIGH), np.asarray(state.mean), *real])
    order = np.argsort(-reached(OBS, plans))
    elites = plans[order[:6]]
    if any(usable):
        assert {36 + 1, 36 + 2} <= set(order[:6].tolist()), "plans kept from before are among the elites"
    np.testing.assert_allclose(after.mean, 0.2 * np.asarray(state.mean) + 0.8 * elites.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.std, 0.2 * np.asarray(state.std) + 0.8 * elites.std(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.kept, elites[:3], rtol=1e-5, atol=1e-6)
    assert after.usable.all()
    np.testing.assert_allclose(after.best, elites[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(info.best, reached(OBS, elites[:1])[0], rtol=1e-5)
    np.testing.assert_allclose(info.elite, reached(OBS, elites).mean(), rtol=1e-5)
    assert info.finite == 1, "a kept plan that is not real is no failure of the model"


def test_the_mean_is_a_candidate():
    """Without noise, nothing has a higher value, so it is the best."""
    goal = jnp.asarray(np.concatenate([[[1.5, -1.6], [1.5, 0.0]], np.zeros((3, 2))]), jnp.float32)
    state = dataclasses.replace(some_state((False,) * 3), mean=goal)
    after, _ = IMPROVE(planner(), jax.random.key(6), reaching(), jnp.asarray(OBS, jnp.float32), state)
    same(after.best, goal)


def test_a_kept_plan_that_turns_out_worthless_is_forgotten():
    """The kept plans push beyond the edge of a reward that has moved in."""
    state = some_state((True, True, True))
    state = dataclasses.replace(state, kept=state.kept.at[:, 0, 1].set(0.7))
    after, info = IMPROVE(planner(), jax.random.key(6), reaching(0.6), jnp.asarray(OBS, jnp.float32), state)
    assert info.finite < 1
    assert after.usable.all()
    assert (after.kept[:, :, 1] <= 0.6).all()


def test_populations_shrink_down_to_twice_the_elites():
    sizes = [(stage.candidates, times) for stage, times in planner(candidates=60, decay=1.5, iterations=7).stages()]
    assert sizes == [(60, 1), (40, 1), (27, 1), (18, 1), (16, 3)]  # 60 / 1.5^i; fresh ones are 4 fewer: at least 12
    assert [(s.candidates, t) for s, t in planner(decay=1.0).stages()] == [(40, 4)]
    problem = reaching()
    one = planner(iterations=7, candidates=60, decay=1.5)
    obs = jnp.asarray(OBS, jnp.float32)
    state, info = eqx.filter_jit(optimise)(one, jax.random.key(1), problem, obs, one.init(problem))
    assert info.best.shape == (7,)
    assert (np.diff(info.best) >= 0).all(), "on a deterministic problem kept plans never let the best get worse"
    assert info.best[-1] == problem.evaluate(jax.random.key(2), obs, state.best[None])


def test_what_is_followed():
    state = some_state()
    same(planner().plan(state), state.mean)
    same(planner(follow_best=True).plan(state), state.best)


def test_the_next_step_moves_everything_on():
    state = some_state()
    later = planner(std=0.3).shift(reaching(), state)
    on = lambda plan: np.concatenate([plan[1:], plan[-1:]])
    np.testing.assert_array_equal(later.mean, on(np.asarray(state.mean)))
    np.testing.assert_array_equal(later.best, on(np.asarray(state.best)))
    np.testing.assert_array_equal(later.kept, [on(np.asarray(plan)) for plan in state.kept])
    np.testing.assert_array_equal(later.usable, state.usable)
    np.testing.assert_allclose(later.std, np.tile(0.3 * (HIGH - LOW) / 2, (HORIZON, 1)), rtol=1e-6)


def test_nothing_kept_is_fine():
    one, problem = planner(keep=0), reaching()
    state, info = IMPROVE(one, jax.random.key(6), problem, jnp.asarray(OBS, jnp.float32), one.init(problem))
    assert state.kept.shape == (0, HORIZON, 2)
    assert np.isfinite(info.elite)
