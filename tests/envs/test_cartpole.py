"""The cart-pole against MuJoCo, and against conservation of energy."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from handful.envs.cartpole import CartPole, CartPoleSwingUp, TipReward

XML = """
<mujoco>
  <option integrator="RK4" timestep="0.02" tolerance="1e-12" iterations="200"/>
  <worldbody>
    <body>
      <joint name="slider" type="slide" axis="1 0 0" damping="1" limited="true" range="-2.5 2.5"/>
      <inertial pos="0 0 0" mass="10.47198" diaginertia="1 1 1"/>
      <body>
        <joint name="hinge" type="hinge" axis="0 1 0" damping="1"/>
        <inertial pos="0 0 -0.3" mass="5.01859" diaginertia="0.18875 0.18875 0.01"/>
        <site name="tip" pos="0 0 -0.6"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="slider" gear="100" ctrllimited="true" ctrlrange="-3 3"/></actuator>
</mujoco>
"""


@pytest.fixture(scope="module")
def reference():
    return mujoco.MjModel.from_xml_string(XML)


def mujoco_steps(model, states, actions):
    """The next states and the tip's place there."""
    data = mujoco.MjData(model)
    after, tips = [], []
    for state, action in zip(states, actions, strict=True):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = state[:2], state[2:], action
        mujoco.mj_step(model, data, nstep=2)
        mujoco.mj_forward(model, data)
        after.append(np.concatenate([data.qpos, data.qvel]))
        tips.append(data.site("tip").xpos[[0, 2]].copy())
    return np.array(after), np.array(tips)


def states_and_actions(seed, count, x_range):
    rng = np.random.default_rng(seed)
    x = rng.uniform(*x_range, count)
    states = np.stack([x, *rng.uniform([-4, -1.5, -9], [7, 2.5, 6], (count, 3)).T], axis=1)
    return states, rng.uniform(-3.6, 4.1, (count, 1))  # beyond the limits too


def our_steps(states, actions):
    env, key = CartPoleSwingUp(), jax.random.key(0)
    _, step = jax.jit(jax.vmap(lambda s, a: env.step(key, s, a)))(jnp.asarray(states), jnp.asarray(actions))
    return step


def test_one_step_is_mujocos(reference):
    """Away from the rail's ends, in float32: states are of order 10, so rounding alone allows about 1e-5."""
    states, actions = states_and_actions(seed=11, count=400, x_range=(-2.2, 2.1))
    expected, tips = mujoco_steps(reference, states, actions)
    step = our_steps(states.astype(np.float32), actions.astype(np.float32))
    np.testing.assert_allclose(step.obs, expected, atol=1e-4, rtol=0)
    paid = np.exp(-np.sum((tips - [0, 0.6]) ** 2, axis=1) / 0.36) - 0.01 * actions[:, 0] ** 2
    np.testing.assert_allclose(step.reward, paid, atol=1e-4)


@pytest.mark.parametrize("x_range", [(-2.72, -2.41), (2.42, 2.75)])
def test_the_soft_rail_is_mujocos(reference, x_range):
    """Closed form against MuJoCo's iterative solver, both in float64: 1e-7 is what its tolerance leaves."""
    states, actions = states_and_actions(seed=12, count=300, x_range=x_range)
    expected, _ = mujoco_steps(reference, states, actions)
    with jax.enable_x64(True):
        found = np.asarray(our_steps(states, actions).obs)
        free = eqx.tree_at(lambda m: m.rail.limit, CartPole(), jnp.array(1e3))
        force = jnp.array(5.0)
        pushed = jax.vmap(lambda s: jnp.abs(CartPole().derivative(s, force) - free.derivative(s, force)).max())(states)
    assert 50 < np.sum(np.asarray(pushed) > 1.0) < 290  # the data meet the ends, and also miss them
    np.testing.assert_allclose(found, expected, atol=1e-7, rtol=0)


def test_the_shallow_rail_is_mujocos(reference):
    """Inside the first millimetre, where the impedance is on its way up, on both halves of its curve."""
    rng = np.random.default_rng(13)
    states = np.stack([rng.uniform(2.5, 2.5011, 60), *rng.uniform([-3, -0.02, -4], [2, 0.03, 5], (60, 3)).T], axis=1)
    actions = rng.uniform(-0.4, 0.7, (60, 1))
    expected, _ = mujoco_steps(reference, states, actions)
    with jax.enable_x64(True):
        np.testing.assert_allclose(our_steps(states, actions).obs, expected, atol=1e-7, rtol=0)


def test_a_trial_stays_mujocos(reference):
    """200 steps of a swing that hits both ends, in float64; chaos and the solver's tolerance leave 1e-5."""
    rng = np.random.default_rng(14)
    actions = 2.7 * np.sign(np.sin(np.arange(200) / 9.0))[:, None] + rng.uniform(-0.3, 0.2, (200, 1))
    start = np.array([0.13, -0.21, 0.07, 0.34])
    data = mujoco.MjData(reference)
    data.qpos[:], data.qvel[:] = start[:2], start[2:]
    expected = []
    for action in actions:
        data.ctrl[:] = action
        mujoco.mj_step(reference, data, nstep=2)
        expected.append(np.concatenate([data.qpos, data.qvel]))
    with jax.enable_x64(True):
        env, key = CartPoleSwingUp(), jax.random.key(0)
        _, step = jax.jit(lambda: jax.lax.scan(partial(env.step, key), start, actions))()
    xs = np.array(expected)[:, 0]
    assert xs.max() > 2.5
    assert xs.min() < -2.5
    np.testing.assert_allclose(step.obs, expected, atol=1e-5, rtol=0)


def swing(damping, dt, seconds):
    """States of a free swing from a high start, far from the rail's ends, and their energies."""
    env = CartPoleSwingUp(mechanism=CartPole(damping=damping))
    env = replace(env, task=replace(env.task, dt=dt))
    key, start = jax.random.key(0), jnp.array([0.2, 2.3, 0.3, -0.9])

    def forward(state, _):
        state, step = env.step(key, state, jnp.zeros(1))
        return state, env.mechanism.energy(step.obs)

    _, energies = jax.jit(lambda: jax.lax.scan(forward, start, length=round(seconds / dt)))()
    return np.asarray(jnp.concatenate([env.mechanism.energy(start)[None], energies]))


def test_energy_drifts_as_the_method_allows():
    """A linear oscillator at rate w loses (w h)^6 / 72 of its energy a step, under a physics step of h.

    The linearised pole's rate is 5.5 rad/s, a high swing doubles it, h is 0.02 s: 2e-6 a step, 3e-4 over the 150 steps.
    Over a set time that is fifth order in h, so half the step divides the drift by about 32.
    """
    with jax.enable_x64(True):
        coarse = swing(damping=(0.0, 0.0), dt=0.04, seconds=3.0)
        fine = swing(damping=(0.0, 0.0), dt=0.02, seconds=3.0)
    depth = 2 * 5.01859 * 9.81 * 0.3  # [J] from upright to hanging
    drift, less = np.abs(coarse[-1] - coarse[0]), np.abs(fine[-1] - fine[0])
    assert 1e-9 * depth < drift < 3e-4 * depth
    assert 25 < drift / less < 40


def test_damping_only_takes_energy():
    with jax.enable_x64(True):
        energies = swing(damping=(1.3, 0.8), dt=0.04, seconds=8.0)
    assert np.all(np.diff(energies) < 0)
    assert energies[-1] < energies[0] - 5.0


def test_energy_is_kinetic_plus_potential():
    """Against the two bodies' speeds, written out point by point."""
    mechanism = CartPole(cart_mass=3.1, pole_mass=1.7, com_distance=0.45, inertia=0.21, gravity=8.3)
    theta, xdot, thetadot = 0.9, -1.3, 2.2
    com_speed = np.array([xdot - 0.45 * np.cos(theta) * thetadot, 0.45 * np.sin(theta) * thetadot])
    kinetic = (3.1 * xdot**2 + 1.7 * com_speed @ com_speed + 0.21 * thetadot**2) / 2
    found = mechanism.energy(jnp.array([0.4, theta, xdot, thetadot]))
    np.testing.assert_allclose(found, kinetic - 1.7 * 8.3 * 0.45 * np.cos(theta), rtol=1e-5)


def test_reward_by_hand():
    """A pole at 90 degrees: the tip is level with the hinge, 0.6 m to the left."""
    obs = jnp.array([0.9, np.pi / 2, 5.0, -7.0])
    paid = TipReward()(jnp.full(4, 9.0), jnp.array([-2.0]), obs)
    np.testing.assert_allclose(paid, np.exp(-(0.3**2 + 0.6**2) / 0.36) - 0.04, rtol=1e-5)


def test_a_moved_goal_moves_the_best_place():
    reward = TipReward(goal=(0.5, 0.6))
    upright = jnp.array([0.5, np.pi, 0.0, 0.0])
    np.testing.assert_allclose(reward(upright, jnp.zeros(1), upright), 1.0, rtol=1e-5)


def test_starts_hang_and_spread_by_a_tenth():
    """400 starts: a sample std lies within 15 % of the true one but for 1 case in 40 000 per entry (4.2 sigma)."""
    env = CartPoleSwingUp()
    _, obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(5), 400))
    np.testing.assert_allclose(obs.std(0), 0.1, rtol=0.15)
    np.testing.assert_allclose(obs.mean(0), 0.0, atol=0.021)  # 4.2 sigma as well
