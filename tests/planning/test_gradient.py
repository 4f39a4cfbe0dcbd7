"""Gradient ascent against the Riccati solution and Adam written out, and what is not a number."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.models.known import KnownDynamics
from handful.planning.base import optimise
from handful.planning.gradient import GradientPlanner, _values_and_gradients
from handful.planning.lqr import Regulator
from handful.planning.noise import coloured
from handful.planning.problem import Problem
from handful.propagation.risk import MeanStd
from handful.propagation.trajectory_sampling import TSInf
from probes import NO_NOISE, Linear, Trap, counted, jitted, linear_ensemble, reached, reaching, same, task_of

KEY, OBS = jax.random.key(6), np.array([0.3, 0.2])
LOW, HIGH = np.array([-1.0, -2.0]), np.array([1.5, 0.8])
HALF, MIDDLE = (HIGH - LOW) / 2, (LOW + HIGH) / 2
IMPROVE = eqx.filter_jit(lambda planner, *args: planner.improve(*args))
WORTHS = eqx.filter_jit(lambda key, problem, obs, plans: problem.evaluate(key, obs, plans))
SLOPES, OPTIMISE = eqx.filter_jit(_values_and_gradients), eqx.filter_jit(optimise)


def slope(plan):
    """The gradient of `reached`: what each action adds to every gap after it."""
    gaps = OBS + 0.5 * np.cumsum(plan, axis=0) - np.array([1.9, -0.6])
    return -np.cumsum(gaps[::-1], axis=0)[::-1]


def test_steps_are_adams():
    """Three iterations from the same draws, in NumPy: bias-corrected moments, steps in half-ranges, clipped."""
    planner, problem = GradientPlanner(5, starts=3, learning_rate=0.3, std=0.4, colour=1.1), reaching()
    state, keys = planner.init(problem), jax.random.split(KEY, 3)
    noise = np.asarray(coloured(jax.random.split(keys[0])[0], (3, 5, 2), jnp.asarray(1.1)), float)
    noise[0] = 0
    plans = np.clip(MIDDLE + 0.4 * HALF * noise, LOW, HIGH)
    best, mean, square, clipped = np.tile(MIDDLE, (5, 1)), 0.0, 0.0, 0
    for t in range(1, 4):
        state, info = IMPROVE(planner, keys[t - 1], problem, jnp.float32(OBS), state)
        seen = np.concatenate([best[None], plans])
        returns = reached(OBS, seen)
        best = seen[returns.argmax()]
        np.testing.assert_allclose(planner.plan(state), best, atol=1e-4)
        np.testing.assert_allclose(info.best, returns.max(), rtol=1e-4)
        gradient = np.stack([slope(plan) for plan in plans]) * HALF
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        step = mean / (1 - 0.9**t) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
        free = plans + 0.3 * HALF * step
        plans = np.clip(free, LOW, HIGH)
        clipped += (plans != free).sum()
        np.testing.assert_allclose(state.plans, plans, atol=1e-4)  # float32, where gradients pass zero
    assert clipped > 3
    assert len(np.unique(best.round(3), axis=0)) > 1


@pytest.fixture(scope="module")
def point_mass():
    env = PointMass()
    regulator = Regulator(*env.dynamics(), *env.cost())
    return Problem(env.task, KnownDynamics(Linear(*env.dynamics())), TSInf(1)), regulator


def test_reaches_the_riccati_return(point_mass):
    """Of what is to be won over doing nothing, 1 % may be missed; measured, worst of 8 keys: 0.08 %."""
    problem, regulator = point_mass
    planner, start = GradientPlanner(15, iterations=60), jnp.array([2.2, -1.6, -0.6, 0.9])

    @eqx.filter_jit
    def one(key):
        state, _ = optimise(planner, key, problem, start, planner.init(problem))
        return problem.evaluate(key, start, planner.plan(state)[None])[0]

    returns = jax.vmap(one)(jax.random.split(KEY, 8))
    best = jitted(regulator.optimal_actions, start, 15)
    optimum, nothing = np.asarray(jitted(problem.evaluate, KEY, start, jnp.stack([best, jnp.zeros_like(best)])))
    assert (returns <= optimum + 1e-3).all()
    assert ((optimum - returns) / (optimum - nothing) < 0.01).all()


@pytest.mark.parametrize(
    ("propagator", "risk", "model"),
    [
        ("TSInf", "MeanStd", zoo.ensemble),
        ("DistributionSampling", "CVaR", zoo.ensemble),
        ("TS1", "MeanStd", zoo.known),
        ("MomentMatching", "Mean", zoo.known),
    ],
)
def test_gradients_are_those_of_the_value(propagator, risk, model):
    """Against differences of the value itself; also where particles agree and their std is zero."""
    problem = zoo.problem(model(), zoo.PROPAGATORS[propagator](), zoo.RISKS[risk]())
    towards = jnp.linspace(-1.0, 0.7, zoo.PLAN.size).reshape(zoo.PLAN.shape)
    value, gradient = SLOPES(KEY, problem, zoo.OBS, jnp.stack([zoo.PLAN, zoo.PLAN + 0.1 * towards]))
    assert np.isfinite(gradient).all()
    ends = WORTHS(KEY, problem, zoo.OBS, jnp.stack([zoo.PLAN + step * towards for step in (-0.01, 0.0, 0.01)]))
    np.testing.assert_allclose(value[0], ends[1], rtol=1e-5)
    # Returns of size one in float32, over a distance of 0.02, and the next term of the series.
    np.testing.assert_allclose(jnp.sum(gradient[0] * towards), (ends[2] - ends[0]) / 0.02, rtol=5e-3, atol=5e-4)


def test_the_others_start_around_the_plan_at_hand():
    planner, problem = GradientPlanner(5, starts=3, learning_rate=0.0), reaching()
    state, _ = IMPROVE(planner, KEY, problem, jnp.float32(OBS), planner.init(problem))
    np.testing.assert_allclose(state.plans[0], np.tile(MIDDLE, (5, 1)), rtol=1e-6)
    assert len(np.unique(np.asarray(state.plans).round(4))) > 20
    again, _ = IMPROVE(planner, jax.random.key(9), problem, jnp.float32(OBS), state)
    same(again.plans, state.plans)  # drawn once a control step
    later = planner.shift(problem, again)
    np.testing.assert_array_equal(planner.plan(later), [*again.best[1:], again.best[-1]])
    assert later.fresh
    drawn, _ = IMPROVE(planner, jax.random.key(10), problem, jnp.float32(OBS), later)
    same(drawn.plans[0], later.best)
    assert np.abs(drawn.plans[1:] - again.plans[1:]).max() > 0.01


def test_never_walks_into_what_is_not_a_number():
    """A slope that gets better up to 0.6 and is not a number beyond: starts that fall are put back and creep on."""
    problem = Problem(task_of(Trap(), 1, [-1.0], [1.0]), KnownDynamics(lambda obs, action: obs + action), TSInf(1))
    planner, obs = GradientPlanner(4, starts=6, iterations=60, learning_rate=0.07), jnp.array([0.3])
    state = planner.init(problem)
    finite = []
    for key in jax.random.split(KEY, 60):
        state, info = IMPROVE(planner, key, problem, obs, state)
        finite.append(float(info.finite))
        assert np.isfinite(planner.plan(state)).all()
        assert (planner.plan(state) <= 0.6).all()
        assert (state.safe <= 0.6).all()
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
        assert np.isfinite(info.best)
    assert min(finite) < 1, "some starts fell"
    assert (state.pace < 1).any()
    assert info.best <= 4 * -0.6 + 1e-5
    np.testing.assert_allclose(info.best, 4 * -0.6, rtol=2e-2)


def test_a_gradient_that_is_not_a_number_puts_that_start_back_alone():
    """The return is finite everywhere; its derivative is not where the second action is 0.3 or more."""

    def reward(obs, action, next_obs):
        rough = jnp.where(action[1] >= 0.3, jnp.sqrt(jnp.maximum(0.3 - action[1], 0.0)), 0.0)
        return -((action[0] - 0.5) ** 2) + 0.1 * action[1] + rough

    problem = Problem(task_of(reward, 2, [-1.0, -1.0], [1.0, 1.0]), KnownDynamics(lambda o, a: o), TSInf(1))
    planner = GradientPlanner(3, starts=2, learning_rate=0.01)
    state, _ = IMPROVE(planner, KEY, problem, jnp.float32(OBS), planner.init(problem))
    sound = jnp.zeros((3, 2))
    plans, safe = jnp.stack([sound, sound + 0.4]), jnp.stack([sound, sound - 0.2])
    state = dataclasses.replace(state, plans=plans, safe=safe, pace=jnp.ones(2))
    after, info = IMPROVE(planner, KEY, problem, jnp.float32(OBS), state)
    assert info.finite == 1.0
    np.testing.assert_array_equal(after.plans[1], state.safe[1])
    np.testing.assert_allclose(after.pace, [1.0, 0.5])
    np.testing.assert_array_equal(after.adam.mu[1], 0.0)
    assert (after.plans[0] > state.plans[0]).all()
    np.testing.assert_array_equal(after.safe[0], state.plans[0])
    later, _ = IMPROVE(planner, KEY, problem, jnp.float32(OBS), after)
    np.testing.assert_allclose(later.plans[1] - after.plans[1], 0.005, rtol=1e-3)  # on, at half the pace


@pytest.mark.parametrize(("weight", "expected"), [(0.0, 3 * 1.5), (-3.0, 0.0)])
def test_doubt_and_risk_are_climbed_too(weight, expected):
    """Two members move by half and by one and a half times the action, so the return 2 a_1 + a_2 has a std of half of
    its size: the greatest one has the highest value, or zero with a weight of three on stds.
    """
    model = linear_ensemble(np.zeros((2, 1, 1)), [[[0.5]], [[1.5]]], np.zeros((2, 1)), np.full((2, 1), NO_NOISE))
    task = task_of(lambda obs, action, next_obs: next_obs[0], 1, [-1.0], [1.5])
    problem = Problem(task, model, TSInf(2), MeanStd(weight))
    planner = GradientPlanner(2, iterations=60, learning_rate=0.02)
    state, _ = OPTIMISE(planner, KEY, problem, jnp.zeros(1), planner.init(problem))
    np.testing.assert_allclose(np.array([2.0, 1.0]) @ np.asarray(planner.plan(state))[:, 0], expected, atol=0.05)


def test_settings_compile_nothing():
    compiled, traces = counted(lambda planner, *args: planner.improve(KEY, *args))
    problem = reaching()
    args = problem, jnp.float32(OBS), GradientPlanner(5).init(problem)
    one, _ = compiled(GradientPlanner(5), *args)
    other, _ = compiled(GradientPlanner(5, learning_rate=0.3, std=0.1, colour=0.5), *args)
    assert traces.count == 1
    assert np.abs(one.plans - other.plans).max() > 0.01


@pytest.mark.parametrize("settings", [{"starts": 0}, {"horizon": 0}, {"iterations": 0}])
def test_sizes_are_checked(settings):
    with pytest.raises(InputError, match=f"{next(iter(settings))}|start"):
        GradientPlanner(**settings)
