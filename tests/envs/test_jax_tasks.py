"""Contracts of tasks written in JAX: of every one in the zoo, and closer ones at chosen states of our own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import zoo
from handful.envs.acrobot import Acrobot
from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.cartpole_v1 import CartPoleV1
from handful.envs.drawing import HEIGHT, WIDTH
from handful.envs.mountain_car import MountainCar
from handful.envs.pendulum import Pendulum
from handful.envs.pendulum_v1 import PendulumV1
from handful.envs.point_mass import PointMass
from handful.envs.registry import TASKS, info_of

STATES = {
    CartPoleSwingUp: [0.31, 2.2, -0.7, 1.6],
    Pendulum: [2.2, -1.3],
    PointMass: [0.7, -0.4, 1.1, 0.6],
    CartPoleV1: [0.31, -0.7, 0.12, 1.6],
    Acrobot: [0.8, -1.4, 1.1, -0.6],
    PendulumV1: [2.2, -1.3],
    MountainCar: [-0.1, 0.02],
}
OBS = STATES | {
    Acrobot: [np.cos(0.8), np.sin(0.8), np.cos(-1.4), np.sin(-1.4), 1.1, -0.6],
    PendulumV1: [np.cos(2.2), np.sin(2.2), -1.3],
}
MASSES = {  # or what resists the action in their place
    CartPoleSwingUp: lambda env: env.mechanism.pole_mass,
    Pendulum: lambda env: env.mass,
    PointMass: lambda env: env.mass,
    CartPoleV1: lambda env: env.pole_mass,
    Acrobot: lambda env: env.links.mass,
    PendulumV1: lambda env: env.rod.mass,
    MountainCar: lambda env: env.gravity,
}
DRAWN = {CartPoleV1: (0, 2), MountainCar: (0,)}  # entries that a picture shows; of the others the first two
BY_THE_END = (CartPoleV1, Acrobot, MountainCar)  # pay for where a trial ends, not for where the system is
every_env = pytest.mark.parametrize("kind", list(zoo.ENVS.values()), ids=list(zoo.ENVS))
every_task = pytest.mark.parametrize("kind", list(STATES), ids=lambda kind: kind.__name__)


def inside(env, share=0.37):
    """An action inside the limits, a different one per entry."""
    shares = share + 0.2 * jnp.arange(env.task.action_size)
    return env.task.low + shares * (env.task.high - env.task.low)


def trial(env, key, steps=25):
    start_key, actions_key, steps_key = jax.random.split(key, 3)
    state, start = env.reset(start_key)
    shape = (steps, env.task.action_size)
    actions = jax.random.uniform(actions_key, shape, minval=1.3 * env.task.low, maxval=1.2 * env.task.high)

    def forward(state, inputs):
        return env.step(inputs[0], state, inputs[1])

    _, answers = jax.lax.scan(forward, state, (jax.random.split(steps_key, steps), actions))
    return jnp.concatenate([start[None], answers.obs[:-1]]), actions, answers


def test_the_zoo_holds_every_registered_task():
    makers = {info_of(name).make for name in TASKS}
    assert {maker for maker in makers if isinstance(maker, type)} == {*zoo.ENVS.values()}


@pytest.mark.smoke
@every_env
def test_pays_what_the_task_says(kind):
    """On a recorded trial, actions beyond the limits included. Equal but for the order of float32 operations."""
    env = kind()
    obs, actions, answers = eqx.filter_jit(trial)(env, jax.random.key(1))
    np.testing.assert_allclose(
        answers.reward, jax.vmap(env.task.reward)(obs, actions, answers.obs), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(answers.terminated, jax.vmap(env.task.terminated)(answers.obs))


@every_env
def test_same_key_same_trial(kind):
    run = eqx.filter_jit(trial)
    first, again, other = (run(kind(), jax.random.key(seed)) for seed in (2, 2, 3))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.all(np.asarray(first[0][1]) != np.asarray(other[0][1]))


@every_task
def test_a_new_mass_moves_the_system_and_does_not_retrace(kind):
    traces = []

    @eqx.filter_jit
    def run(env, state, action):
        traces.append(1)
        return env.step(jax.random.key(0), state, action)[1].obs

    env, state = kind(), jnp.array(STATES[kind])
    heavier = eqx.tree_at(MASSES[kind], env, MASSES[kind](env) * 1.7)
    before, after = run(env, state, inside(env)), run(heavier, state, inside(env))
    assert len(traces) == 1
    assert np.abs(before - after).max() > 1e-3


@every_task
def test_a_batch_of_masses_is_a_loop_over_them(kind):
    env, state = kind(), jnp.array(STATES[kind])
    factors = jnp.array([0.6, 1.3, 2.2])

    @jax.jit
    def run(factor):
        other = eqx.tree_at(MASSES[kind], env, MASSES[kind](env) * factor)
        return other.step(jax.random.key(0), state, inside(env))[1].obs

    np.testing.assert_allclose(jax.vmap(run)(factors), jnp.stack([run(f) for f in factors]), rtol=2e-5, atol=1e-6)


@every_task
def test_actions_beyond_the_limits_act_as_the_limits(kind):
    env, state = kind(), jnp.array(STATES[kind])
    take = eqx.filter_jit(env.step)
    obs = [take(jax.random.key(0), state, action)[1].obs for action in (env.task.high, 3 * env.task.high, inside(env))]
    np.testing.assert_array_equal(obs[0], obs[1])
    assert np.abs(obs[0] - obs[2]).max() > 1e-3


@every_task
def test_what_is_not_a_number_stays_so(kind):
    """A bad entry of the state or the action makes what depends on it bad, and the reward with it, sooner or later.

    A category is the greatest of its entries, whatever they are, and who collects data looks at the action itself.
    """
    env, state = kind(), jnp.array(STATES[kind])
    take = eqx.filter_jit(env.step)
    for entry in range(len(state)):
        following, step = take(jax.random.key(0), state.at[entry].set(jnp.nan), inside(env))
        assert jnp.isnan(following[entry])
        assert jnp.isnan(step.obs).any()
        assert kind in BY_THE_END or jnp.isnan(take(jax.random.key(0), following, inside(env))[1].reward)
    if not env.task.categorical:
        _, step = take(jax.random.key(0), state, inside(env).at[0].set(jnp.nan))
        assert jnp.isnan(step.obs).any()
        assert jnp.isnan(step.reward)


@every_task
def test_gradients_are_finite_and_right(kind):
    """Against central differences in float64, with respect to state and action."""
    with jax.enable_x64(True):
        env = kind()
        state, action = jnp.array(STATES[kind]), inside(env)

        @jax.jit
        def entry(state, action):
            return env.step(jax.random.key(0), *map(jnp.asarray, (state, action)))[1].obs @ jnp.arange(
                1.0, len(OBS[kind]) + 1
            )

        check_grads(entry, (state, action), order=1, modes=["rev"], rtol=1e-6)


@every_task
def test_pictures_follow_the_state(kind):
    env, obs = kind(), np.array(OBS[kind])
    frame = env.draw(obs)
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, env.draw(obs))
    for entry in DRAWN.get(kind, (0, 1)):
        moved = obs.copy()
        moved[entry] += 1.0
        assert np.mean(env.draw(moved) != frame) > 2e-4


@every_task
def test_pictures_of_the_impossible_do_not_fail(kind):
    """Far out of view the system still shows; what is not finite gets the red border."""
    env, obs = kind(), np.array(OBS[kind])
    far, bad = obs.copy(), obs.copy()
    far[0], bad[0] = 1e7, np.nan
    near, missing = env.draw(far), env.draw(bad)
    orange = np.abs(near.astype(int) - (230, 126, 52)).sum(axis=-1) < 10
    assert orange.sum() > 40
    np.testing.assert_array_equal(missing[0, 0], (205, 60, 56))
