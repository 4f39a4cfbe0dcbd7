"""iLQR against the Riccati solution, a general-purpose optimiser, and what is not a number."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from handful.envs.pendulum import Pendulum
from handful.errors import InputError
from handful.models.known import KnownDynamics
from handful.planning.base import optimise
from handful.planning.ilqr import ILQR, ILQRState, _local, _rolled, _solved, _within
from handful.planning.lqr import Regulator
from handful.planning.problem import Problem
from handful.propagation.distribution_sampling import DistributionSampling, Expectation
from handful.propagation.trajectory_sampling import TSInf
from probes import Linear, Trap, counted, jitted, linear_ensemble, same, task_of

KEY, HORIZON = jax.random.key(4), 9
RNG = np.random.default_rng(21)
A, B = RNG.normal(size=(3, 3)) * 0.4, RNG.normal(size=(3, 2))
Q, R = (root @ root.T + 0.1 * np.eye(len(root)) for root in (RNG.normal(size=(3, 3)), RNG.normal(size=(2, 2))))
START = jnp.array([0.8, -1.4, 2.1])
WIDE = [-600.0, -500.0], [590.0, 520.0]  # the middle is (-5, 10)
OPTIMISE = eqx.filter_jit(optimise)
SOLVED = eqx.filter_jit(_solved)
IMPROVE = eqx.filter_jit(lambda planner, *args: planner.improve(*args))


def quadratic(obs, action, next_obs):
    return -(obs @ jnp.float32(Q) @ obs + action @ jnp.float32(R) @ action)


def regulated(low, high):
    task = task_of(quadratic, 3, low, high)
    return Problem(task, KnownDynamics(Linear(jnp.float32(A), jnp.float32(B))), TSInf(1))


def improved(planner, problem, obs=START, key=KEY):
    state, info = OPTIMISE(planner, key, problem, obs, jitted(planner.init, problem))
    return jitted(planner.plan, state), info


def test_one_iteration_solves_the_linear_quadratic_problem():
    """From a plan that is not zero, so that feedback counts. Tolerance: the damping of 1e-6, and float32."""
    problem = regulated(*WIDE)
    true = Regulator(*map(jnp.float32, (A, B, Q, R)))
    planner = ILQR(HORIZON, iterations=1)
    plan, info = improved(planner, problem)
    np.testing.assert_allclose(plan, jitted(true.optimal_actions, START, HORIZON), atol=2e-4)
    np.testing.assert_allclose(info.best, [jitted(true.optimal_return, START, HORIZON)], rtol=1e-5)
    local = lambda plan: _local(problem, plan, _rolled(problem, START, plan))
    solve = lambda plan: _solved(local(plan), plan - 99.0, plan + 99.0, jnp.asarray(-9.0))
    _, gains = jitted(solve, plan)
    np.testing.assert_allclose(gains, -np.asarray(jitted(true.gains, HORIZON)[0]), atol=2e-4)


def test_a_discount_and_an_end_are_counted():
    """The optimum of the discounted problem by BFGS, with a reward on the next observation too; and nothing is
    done once the task is over.
    """

    def reward(obs, action, next_obs):
        return quadratic(obs, action, next_obs) - 0.7 * next_obs @ next_obs + 0.2 * action[0] * next_obs[1]

    task = task_of(reward, 3, *WIDE, discount=0.8)
    problem = Problem(task, KnownDynamics(Linear(jnp.float32(A), jnp.float32(B))), Expectation())
    plan, _ = improved(ILQR(HORIZON, iterations=2), problem)
    gradient = jax.jit(jax.grad(lambda plan: problem.particle_returns(KEY, START, plan)[0]))
    assert np.abs(gradient(plan)).max() < 1e-3 * np.abs(gradient(jnp.zeros_like(plan))).max()
    short = dataclasses.replace(task, terminated=lambda obs: obs[0] > -1e9)  # at once
    plan, _ = improved(ILQR(HORIZON, iterations=2), dataclasses.replace(problem, task=short))
    np.testing.assert_allclose(np.asarray(plan)[1:], np.tile([-5.0, 10.0], (HORIZON - 1, 1)), rtol=1e-6)
    assert np.abs(np.asarray(plan)[0] - np.array([-5.0, 10.0])).max() > 1.0


def test_limits_are_respected_and_made_the_most_of():
    """The optimum between limits, by a bounded quasi-Newton method in float64."""
    low, high = np.array([-0.1, -0.12]), np.array([0.15, 0.08])
    problem = regulated(list(low), list(high))
    plan, info = improved(ILQR(HORIZON, iterations=12), problem)

    def cost(flat):
        obs, total = np.asarray(START, float), 0.0
        for action in flat.reshape(HORIZON, 2):
            total += obs @ Q @ obs + action @ R @ action
            obs = A @ obs + B @ action
        return total

    bounds = list(zip(np.tile(low, HORIZON), np.tile(high, HORIZON), strict=True))
    best = scipy.optimize.minimize(cost, np.zeros(2 * HORIZON), bounds=bounds, options={"ftol": 1e-13, "gtol": 1e-9})
    at_limit = np.isclose(best.x, np.tile(low, HORIZON)) | np.isclose(best.x, np.tile(high, HORIZON))
    assert 3 < at_limit.sum() < 15, "some limits bind and some do not"
    assert (plan >= problem.task.low).all()
    assert (plan <= problem.task.high).all()
    np.testing.assert_allclose(info.best[-1], -best.fun, rtol=1e-5)
    assert (np.diff(info.best) >= 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_step_between_limits_is_the_best_there_is(seed):
    """Two coupled actions, on a grid; free entries are those inside."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(2, 2))
    hessian, gradient = root @ root.T + 0.3 * np.eye(2), 2 * rng.normal(size=2)
    low, high = (sign * rng.uniform(0.1, 0.8, 2).astype(np.float32) for sign in (-1, 1))
    step, free = jax.device_get(jitted(_within, *(jnp.float32(x) for x in (hessian, gradient, low, high))))
    grid = np.stack(np.meshgrid(*(np.linspace(*ends, 401) for ends in zip(low, high, strict=True))), axis=-1)
    costs = grid @ gradient + np.einsum("xyi,ij,xyj->xy", grid, hessian, grid) / 2
    found = step @ gradient + step @ hessian @ step / 2
    np.testing.assert_allclose(found, costs.min(), atol=1e-4)
    np.testing.assert_array_equal(free, (np.asarray(step) > low) & (np.asarray(step) < high))


@pytest.fixture(scope="module")
def pendulum():
    env = Pendulum()
    return Problem(env.task, KnownDynamics(lambda obs, action: env.step(KEY, obs, action)[0]), TSInf(1))


def test_it_swings_a_pendulum_up(pendulum):
    """Hanging all the while pays -936; measured, -334. A hanging start at rest would be a stationary point."""
    hanging = jnp.array([jnp.pi - 0.1, 0.3])
    plan, info = improved(ILQR(100, iterations=30), pendulum, hanging)
    nothing = jitted(pendulum.evaluate, KEY, hanging, jnp.zeros((1, 100, 1)))
    assert nothing < -900
    assert info.best[-1] > -370
    assert (np.diff(info.best) >= 0).all()
    end = np.asarray(jitted(lambda plan: _rolled(pendulum, hanging, plan), plan))[-10:]
    assert np.abs((end[:, 0] + np.pi) % (2 * np.pi) - np.pi).max() < 0.3, "it ends up standing"


def test_damping_shortens_the_steps_and_follows_success(pendulum):
    obs, plan = jnp.array([2.2, -0.9]), jnp.asarray(0.3 * np.sin(np.arange(12.0))[:, None], jnp.float32)
    room = jnp.full_like(plan, 999.0)
    local = jitted(lambda plan: _local(pendulum, plan, _rolled(pendulum, obs, plan)), plan)
    sizes = [np.abs(SOLVED(local, -room, room, jnp.asarray(damping))[0]).max() for damping in (-6.0, 0.0, 2.0)]
    assert sizes[0] > 1.5 * sizes[1] > 15 * sizes[2] > 0
    planner = ILQR(12, factor=4.0, damping=0.01)
    state, info = IMPROVE(planner, KEY, pendulum, obs, ILQRState(plan, jnp.asarray(-1.0)))
    assert info.best > jitted(pendulum.evaluate, KEY, obs, plan[None])
    np.testing.assert_allclose(state.damping, -1 - np.log10(4), rtol=1e-6)
    for _ in range(12):
        state, _ = IMPROVE(planner, KEY, pendulum, obs, state)
    settled = state
    state, _ = IMPROVE(planner, KEY, pendulum, obs, state)
    same(state.plan, settled.plan)
    np.testing.assert_allclose(state.damping, settled.damping + np.log10(4), rtol=1e-5)
    later = jitted(planner.shift, pendulum, state)
    np.testing.assert_array_equal(later.plan, [*np.asarray(state.plan)[1:], np.asarray(state.plan)[-1]])
    np.testing.assert_allclose(later.damping, -2, rtol=1e-6)


def test_never_walks_into_what_is_not_a_number():
    """A slope that gets better up to 0.6 and is not a number beyond: it stops at the edge."""
    task = task_of(Trap(), 1, [-1.0], [1.0])
    problem = Problem(task, KnownDynamics(lambda obs, action: obs + action), TSInf(1))
    planner = ILQR(4, iterations=25)
    plan, info = improved(planner, problem, jnp.array([0.3]))
    assert (info.finite < 1).all()
    assert (plan <= 0.6).all()
    np.testing.assert_allclose(info.best[-1], 4 * -0.6, rtol=1e-3)
    fallen = ILQRState(jnp.full((4, 1), 0.8), jnp.asarray(-6.0))
    state, _ = IMPROVE(planner, KEY, problem, jnp.array([0.3]), fallen)
    np.testing.assert_array_equal(state.plan, 0.0)  # the middle, since no plan nearby has a finite value


def test_a_reward_without_a_derivative_somewhere_does_no_harm():
    """The distance to the goal has none at the goal, where the plan begins and where it ends."""

    def reward(obs, action, next_obs):
        return -jnp.sqrt(next_obs @ next_obs) - 0.1 * action @ action - 0.3 * (obs[0] - 1.0) ** 2

    problem = Problem(task_of(reward, 2, [-1.0, -2.0], [1.0, 2.0]), KnownDynamics(lambda o, a: o + 0.5 * a), TSInf(1))
    start = jnp.zeros(2)
    state, info = IMPROVE(ILQR(5), KEY, problem, start, jitted(ILQR(5).init, problem))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state, info)))
    assert info.best >= np.asarray(jitted(problem.evaluate, KEY, start, jnp.zeros((1, 5, 2))))[0]


def test_worth_is_asked_of_the_problem_and_derivatives_of_the_mean():
    """Members that pull apart: their mean is linear, so one step finds the mean's optimum; its value has their spread
    in it, which no plan changes here.
    """
    deltas = np.stack([A - np.eye(3)] * 2)
    model = linear_ensemble(deltas, np.stack([B] * 2), [[0.3, 0.1, -0.2], [-0.3, -0.1, 0.2]], np.full((2, 3), -6.0))
    problem = Problem(task_of(quadratic, 3, *WIDE), model, DistributionSampling(30))
    true = Regulator(*map(jnp.float32, (A, B, Q, R)))
    state, info = IMPROVE(ILQR(HORIZON), KEY, problem, START, jitted(ILQR(HORIZON).init, problem))
    np.testing.assert_allclose(state.plan, jitted(true.optimal_actions, START, HORIZON), atol=1e-3)
    np.testing.assert_allclose(info.best, jitted(problem.evaluate, KEY, START, state.plan[None])[0], rtol=1e-5)
    assert info.best < jitted(true.optimal_return, START, HORIZON) - 0.1


def test_another_system_and_other_settings_compile_nothing():
    problem = regulated(*WIDE)
    compiled, traces = counted(lambda planner, problem: planner.improve(KEY, problem, START, planner.init(problem)))
    one, _ = compiled(ILQR(HORIZON), problem)
    model = lambda p: p.model.function.A
    other, _ = compiled(ILQR(HORIZON, damping=0.1, backtrack=0.7), eqx.tree_at(model, problem, jnp.float32(0.8 * A)))
    assert traces.count == 1
    assert np.abs(one.plan - other.plan).max() > 0.1


@pytest.mark.parametrize("settings", [{"horizon": 0}, {"iterations": 0}, {"candidates": 0}])
def test_sizes_are_checked(settings):
    with pytest.raises(InputError, match="ILQR needs"):
        ILQR(**settings)
