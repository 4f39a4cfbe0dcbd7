"""The point mass against its exact solution, and its optimum against brute force."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

from handful.envs.point_mass import PointMass, QuadraticReward
from handful.errors import InputError
from handful.planning.lqr import Regulator


def test_a_step_solves_the_equation_of_motion():
    """Constant force for one step, integrated by scipy far below the tolerance; 2e-6 is float32."""
    env = PointMass(mass=(0.8, 2.1), damping=(0.5, 0.15))
    start, force = np.array([0.7, -0.4, 1.9, 0.6]), np.array([3.1, -4.7])

    def motion(_, state):
        return np.concatenate([state[2:], (force - np.array([0.5, 0.15]) * state[2:]) / np.array([0.8, 2.1])])

    expected = scipy.integrate.solve_ivp(motion, (0, 0.1), start, rtol=1e-10, atol=1e-12).y[:, -1]
    _, step = env.step(jax.random.key(0), jnp.asarray(start), jnp.asarray(force))
    np.testing.assert_allclose(step.obs, expected, atol=2e-6, rtol=0)


def test_dynamics_is_what_step_does():
    env = PointMass()
    A, B = env.dynamics()
    rng = np.random.default_rng(31)
    obs, action = rng.normal(size=4).astype(np.float32), rng.uniform(-5, 5, 2).astype(np.float32)
    _, step = env.step(jax.random.key(0), jnp.asarray(obs), jnp.asarray(action))
    np.testing.assert_allclose(step.obs, A @ obs + B @ action, atol=1e-6)
    Q, R = env.cost()
    np.testing.assert_allclose(step.reward, -(obs @ Q @ obs + action @ R @ action), rtol=1e-5)


def regulator(env):
    return Regulator(*env.dynamics(), *env.cost())


def earned(env, start, actions):
    """The return of a plan, through the environment itself."""

    def forward(state, action):
        state, step = env.step(jax.random.key(0), state, action)
        return state, step.reward

    return jax.lax.scan(forward, start, actions)[1].sum()


def test_no_plan_beats_the_optimal_return():
    """A quasi-Newton search through `step` in float64 ends at the closed form, from below."""
    with jax.enable_x64(True):
        env, horizon = PointMass(), 13
        start = jnp.array([0.9, -0.7, -0.2, 0.45])
        best = float(regulator(env).optimal_return(start, horizon))
        np.testing.assert_allclose(earned(env, start, regulator(env).optimal_actions(start, horizon)), best, rtol=1e-12)

        cost = jax.jit(jax.value_and_grad(lambda plan: -earned(env, start, plan.reshape(horizon, 2))))
        found = scipy.optimize.minimize(cost, np.full(2 * horizon, 0.3), jac=True, tol=1e-12)
        assert -found.fun <= best + 1e-9
        np.testing.assert_allclose(-found.fun, best, rtol=1e-8)
        np.testing.assert_allclose(
            found.x.reshape(horizon, 2), regulator(env).optimal_actions(start, horizon), atol=1e-4
        )


def test_the_limits_never_bind_on_the_best_plan():
    """Actions are linear in the start, so their extremes over the box of starts lie at its corners."""
    env = PointMass()
    corners = np.array(list(itertools.product((-1, 1), repeat=4))) * np.asarray(env.start_limit)
    plans = jax.vmap(lambda start: regulator(env).optimal_actions(start, env.task.horizon))(jnp.asarray(corners))
    assert np.all(plans > env.task.low)
    assert np.all(plans < env.task.high)
    assert np.abs(plans).max(axis=(0, 1)).min() > 0.3 * env.task.high.max()  # nor are they absurdly wide


def test_the_mass_and_the_cost_change_the_optimum():
    start = jnp.array([0.9, -0.7, -0.2, 0.45])
    best = regulator(PointMass()).optimal_return(start, 50)
    assert regulator(PointMass(mass=(1.4, 3.5))).optimal_return(start, 50) < best - 0.1
    env = PointMass()
    dear = PointMass(task=replace(env.task, reward=QuadraticReward(R=((0.3, 0.0), (0.0, 0.6)))))
    assert regulator(dear).optimal_return(start, 50) < best - 0.1
    assert regulator(env).optimal_return(start, 50) > earned(env, start, jnp.zeros((50, 2))) + 1.0


def test_another_reward_has_no_cost_matrices():
    env = PointMass()
    other = replace(env, task=replace(env.task, reward=lambda obs, action, next_obs: -jnp.abs(obs).sum()))
    with pytest.raises(InputError, match="a QuadraticReward, got a function"):
        other.cost()


def test_starts_fill_their_box():
    """800 uniform starts reach within 2 % of each of 8 ends but for 3 cases in 1000 (8 x 0.99^800)."""
    env = PointMass()
    _, obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(7), 800))
    np.testing.assert_array_less(np.abs(obs), np.broadcast_to(env.start_limit, obs.shape))
    np.testing.assert_allclose(obs.max(0), env.start_limit, rtol=0.02)
    np.testing.assert_allclose(obs.min(0), -env.start_limit, rtol=0.02)
