"""Gymnasium's classic control in JAX against Gymnasium's own, from the same states with the same actions."""

import dataclasses
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from handful.envs import vector
from handful.envs.acrobot import Acrobot, Links
from handful.envs.cartpole_v1 import CartPoleV1
from handful.envs.mountain_car import MountainCar
from handful.envs.pendulum_v1 import PendulumV1
from handful.envs.registry import info_of


@dataclasses.dataclass(frozen=True)
class Twin:
    """One of ours, Gymnasium's name of it, states to step from (limits of speed and place are passed), and two more."""

    env: Any
    identity: str
    low: list[float]
    high: list[float]
    safe: list[float]  # a state from which the next step does not end the trial
    last: list[float] | None  # one from which it does


TWINS = {
    "cartpole-v1": Twin(
        CartPoleV1(),
        "CartPole-v1",
        [-2.6, -3.0, -0.25, -3.5],
        [2.5, 3.2, 0.24, 3.0],
        [0.3, 0.1, -0.1, 0.2],
        [2.39, 1.7, 0.1, 0.2],
    ),
    # Faster, float32 loses more than 1e-5 in a step; see the test in float64.
    "acrobot-v1": Twin(
        Acrobot(),
        "Acrobot-v1",
        [-3.1, -3.1, -4.0, -6.0],
        [3.1, 3.1, 4.0, 6.0],
        [0.3, -0.4, 0.7, 0.2],
        [3.0, 0.2, 0.4, -0.3],
    ),
    "pendulum-v1": Twin(PendulumV1(), "Pendulum-v1", [-9.0, -8.0], [11.0, 8.0], [2.2, -1.3], None),
    "mountain-car-continuous-v0": Twin(
        MountainCar(), "MountainCarContinuous-v0", [-1.2, -0.07], [0.6, 0.07], [-0.4, 0.02], [0.44, 0.05]
    ),
}
every_twin = pytest.mark.parametrize("name", TWINS)


def drawn(task, rng, count):
    """Random actions, limits and what lies beyond them included."""
    if task.categorical:
        return np.eye(task.action_size, dtype=np.float32)[rng.integers(task.action_size, size=count)]
    actions = rng.uniform(1.3 * task.low, 1.4 * task.high, (count, task.action_size)).astype(np.float32)
    actions[:2] = task.low, task.high
    return actions


def stepped(twin, states, actions):
    """What Gymnasium's environment makes of each state: the next one, what is seen, the reward, whether it ended."""
    reference: Any = gymnasium.make(twin.identity).unwrapped
    reference.reset(seed=1)
    rows = []
    for state, action in zip(states, actions, strict=True):
        reference.state = state.astype(float)
        reference.steps_beyond_terminated = None  # the cart-pole pays less to those who go on after the end
        obs, reward, terminated, *_ = reference.step(int(action.argmax()) if twin.env.task.categorical else action)
        rows.append((reference.state, obs, reward, terminated))
    return [np.array(column) for column in zip(*rows, strict=True)]


@eqx.filter_jit
def ours(env, states, actions):
    return jax.vmap(lambda state, action: env.step(jax.random.key(0), state, action))(states, actions)


@every_twin
def test_every_step_is_gymnasiums(name):
    """From 400 states. 1e-5 is float32, where Gymnasium counts in float64; on ends there is no tolerance."""
    twin, rng = TWINS[name], np.random.default_rng(21)
    states = rng.uniform(twin.low, twin.high, (400, len(twin.low))).astype(np.float32)
    actions = drawn(twin.env.task, rng, 400)
    expected, seen, rewards, ended = stepped(twin, states, actions)
    state, step = ours(twin.env, jnp.asarray(states), jnp.asarray(actions))
    np.testing.assert_allclose(state, expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(step.obs, seen, atol=1e-5, rtol=0)
    np.testing.assert_allclose(step.reward, rewards, atol=1e-5, rtol=1e-6)
    np.testing.assert_array_equal(step.terminated, ended)
    assert ended.any() == (twin.last is not None)
    assert not ended.all()


def test_the_mountain_cars_limits_are_met():
    """Both ends of the track and both limits of the speed are among the states that were compared."""
    twin = TWINS["mountain-car-continuous-v0"]
    states = np.array([[-1.19, -0.06], [-1.2, 0.0], [0.58, 0.06], [-0.9, 0.0695], [-0.1, -0.0699]], np.float32)
    actions = np.array([[-0.4], [-1.2], [0.7], [0.9], [-0.8]], np.float32)
    expected, *_ = stepped(twin, states, actions)
    state, _ = ours(twin.env, jnp.asarray(states), jnp.asarray(actions))
    np.testing.assert_allclose(state, expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(state[0], [-1.2, 0.0])  # the wall stops it
    assert state[1, 1] > 0  # on the steepest slope its motor is too weak to stay
    np.testing.assert_allclose(state[2, 0], 0.6)
    np.testing.assert_allclose(state[3:, 1], [0.07, -0.07])


def test_the_acrobot_at_any_speed():
    """In float64, up to the limits of both speeds and past them, turns included."""
    twin, rng = TWINS["acrobot-v1"], np.random.default_rng(5)
    states = rng.uniform(-1.0, 1.0, (300, 4)) * [3.1, 3.1, 4 * np.pi, 9 * np.pi]
    actions = drawn(twin.env.task, rng, 300)
    expected, _, _, ended = stepped(twin, states, actions)
    with jax.enable_x64(True):
        state, step = ours(Acrobot(), jnp.asarray(states), jnp.asarray(actions))
        np.testing.assert_allclose(state, expected, atol=1e-9, rtol=0)
        np.testing.assert_array_equal(step.terminated, ended)
    assert (np.abs(expected[:, 2:]) == [4 * np.pi, 9 * np.pi]).any(0).all()


def test_unlike_links_are_gymnasiums_too():
    """Every constant of the mechanism at a value of its own."""
    twin, rng = TWINS["acrobot-v1"], np.random.default_rng(6)
    reference: Any = gymnasium.make(twin.identity).unwrapped
    reference.LINK_MASS_1, reference.LINK_MASS_2, reference.LINK_LENGTH_1 = 1.3, 0.7, 1.6
    reference.LINK_COM_POS_1, reference.LINK_COM_POS_2, reference.LINK_MOI = 0.6, 0.4, 0.9
    links = Links(mass=(1.3, 0.7), length=(1.6, 1.1), com_distance=(0.6, 0.4), inertia=(0.9, 0.9))
    derivative = eqx.filter_jit(links.derivative)
    for state in rng.uniform(-2.0, 2.0, (5, 4)):
        expected = reference._dsdt(np.append(state, 0.8))[:4]
        np.testing.assert_allclose(derivative(jnp.asarray(state), jnp.asarray(0.8)), expected, rtol=2e-5, atol=2e-5)


@eqx.filter_jit
def started(env, keys):
    return jax.vmap(env.reset)(keys)[0]


@every_twin
def test_starts_are_gymnasiums(name):
    """800 of each. Kolmogorov-Smirnov tests, false alarm 1e-4 an entry; the ends agree to 3 % of the range."""
    twin = TWINS[name]
    reference: Any = gymnasium.make(twin.identity).unwrapped
    reference.reset(seed=7)
    theirs = []
    for _ in range(800):
        reference.reset()
        theirs.append(reference.state)
    theirs = np.array(theirs)
    states = np.asarray(started(twin.env, jax.random.split(jax.random.key(6), 800)))
    for entry in range(states.shape[1]):
        assert scipy.stats.ks_2samp(states[:, entry], theirs[:, entry]).pvalue > 1e-4
    slack = 0.03 * np.ptp(theirs, axis=0)
    assert (np.abs(states.min(0) - theirs.min(0)) <= slack).all()
    assert (np.abs(states.max(0) - theirs.max(0)) <= slack).all()


@eqx.filter_jit
def one_step(env, state, time):
    lane = vector.VectorState(state, jnp.full(env.task.obs_size, 0.5), time, jnp.asarray(-3.5))
    action = jnp.zeros(env.task.action_size).at[0].set(1.0)
    return vector.step(jax.random.key(0), env, lane, action)


@every_twin
def test_the_time_limit_truncates_and_the_end_terminates(name):
    """The limit is Gymnasium's. An end at the very limit is an end."""
    twin = TWINS[name]
    horizon = gymnasium.spec(twin.identity).max_episode_steps
    cases = [(twin.safe, horizon - 2, (False, False)), (twin.safe, horizon - 1, (False, True))]
    cases += [(twin.last, time, (True, False)) for time in (4, horizon - 1) if twin.last is not None]
    for state, time, flags in cases:
        lane, transition, ended = one_step(twin.env, jnp.asarray(state), jnp.asarray(time))
        assert (bool(transition.terminated), bool(transition.truncated)) == flags
        assert bool(ended.over) == any(flags)
        assert int(lane.time) == (0 if any(flags) else time + 1)


def test_thresholds_are_gymnasiums_where_it_has_one():
    """Pendulum-v1 has none."""
    assert {name: info_of(name).solved_return for name in TWINS} == {
        name: gymnasium.spec(twin.identity).reward_threshold or -200.0 for name, twin in TWINS.items()
    }
