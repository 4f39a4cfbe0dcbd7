"""What every task written in JAX keeps to."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.drawing import HEIGHT, WIDTH
from handful.envs.pendulum import Pendulum
from handful.envs.point_mass import PointMass

OBS = {
    CartPoleSwingUp: [0.31, 2.2, -0.7, 1.6],
    Pendulum: [2.2, -1.3],
    PointMass: [0.7, -0.4, 1.1, 0.6],
}
MASSES = {
    CartPoleSwingUp: lambda env: env.mechanism.pole_mass,
    Pendulum: lambda env: env.mass,
    PointMass: lambda env: env.mass,
}
every_task = pytest.mark.parametrize("kind", list(OBS), ids=lambda kind: kind.__name__)


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


@every_task
def test_pays_what_the_task_says(kind):
    """On a recorded trial, actions beyond the limits included. Equal but for the order of float32 operations."""
    env = kind()
    obs, actions, answers = eqx.filter_jit(trial)(env, jax.random.key(1))
    np.testing.assert_allclose(
        answers.reward, jax.vmap(env.task.reward)(obs, actions, answers.obs), rtol=1e-5, atol=1e-6
    )
    assert not answers.terminated.any()


@every_task
def test_same_key_same_trial(kind):
    run = eqx.filter_jit(trial)
    first, again, other = (run(kind(), jax.random.key(seed)) for seed in (2, 2, 3))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.all(np.asarray(first[0][0]) != np.asarray(other[0][0]))


@every_task
def test_a_new_mass_moves_the_system_and_does_not_retrace(kind):
    traces = []

    @eqx.filter_jit
    def run(env, state, action):
        traces.append(1)
        return env.step(jax.random.key(0), state, action)[1].obs

    env, state = kind(), jnp.array(OBS[kind])
    heavier = eqx.tree_at(MASSES[kind], env, MASSES[kind](env) * 1.7)
    before, after = run(env, state, inside(env)), run(heavier, state, inside(env))
    assert len(traces) == 1
    assert np.abs(before - after).max() > 1e-3


@every_task
def test_a_batch_of_masses_is_a_loop_over_them(kind):
    env, state = kind(), jnp.array(OBS[kind])
    factors = jnp.array([0.6, 1.3, 2.2])

    @jax.jit
    def run(factor):
        other = eqx.tree_at(MASSES[kind], env, MASSES[kind](env) * factor)
        return other.step(jax.random.key(0), state, inside(env))[1].obs

    np.testing.assert_allclose(jax.vmap(run)(factors), jnp.stack([run(f) for f in factors]), rtol=2e-5, atol=1e-6)


@every_task
def test_actions_beyond_the_limits_act_as_the_limits(kind):
    env, state = kind(), jnp.array(OBS[kind])
    obs = [
        env.step(jax.random.key(0), state, action)[1].obs for action in (env.task.high, 3 * env.task.high, inside(env))
    ]
    np.testing.assert_array_equal(obs[0], obs[1])
    assert np.abs(obs[0] - obs[2]).max() > 1e-3


@every_task
def test_what_is_not_a_number_stays_so(kind):
    """A bad entry of the state or the action makes what depends on it bad, and the reward with it, sooner or later."""
    env, state = kind(), jnp.array(OBS[kind])
    for entry in range(env.task.obs_size):
        bad = state.at[entry].set(jnp.nan)
        obs, step = env.step(jax.random.key(0), bad, inside(env))
        assert jnp.isnan(step.obs[entry])
        assert jnp.isnan(env.step(jax.random.key(0), obs, inside(env))[1].reward)
    _, step = env.step(jax.random.key(0), state, inside(env).at[0].set(jnp.nan))
    assert jnp.isnan(step.obs).any()
    assert jnp.isnan(step.reward)


@every_task
def test_gradients_are_finite_and_right(kind):
    """Against central differences in float64, with respect to state and action."""
    with jax.enable_x64(True):
        env = kind()
        state, action = jnp.array(OBS[kind]), inside(env)

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
    for entry in (0, 1):
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
