"""Copies side by side against a plain loop that knows nothing of lanes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.envs import vector
from handful.envs.base import AbstractEnv
from handful.fields import real
from handful.task import Task
from handful.types import Step

COPIES, STEPS, HORIZON, EDGE = 5, 40, 6, 2.0


class Drifting(AbstractEnv):
    """A place that is pushed about with noise; past the edge a trial ends, and past twice it nothing is a number.

    The hidden state holds the place and a count, so that what is kept is not what is seen.
    """

    task: Task
    noise: jax.Array = real(0.3)

    def reset(self, key):
        place = jax.random.uniform(key, (), minval=-1.0, maxval=1.5)
        return {"place": place, "count": jnp.zeros((), int)}, self.seen(place, 0)

    def step(self, key, state, action):
        place = state["place"] + action[0] + self.noise * jax.random.normal(key)
        place = jnp.where(place > 2 * EDGE, jnp.nan, place)
        following = {"place": place, "count": state["count"] + 1}
        obs = self.seen(place, following["count"])
        reward = self.task.reward(self.seen(state["place"], state["count"]), action, obs)
        return following, Step(obs, reward, self.task.terminated(obs))

    def seen(self, place, count):
        return jnp.stack([10.0 * place, jnp.asarray(count, float)])


class Deaf(AbstractEnv):
    """It carries out zero, whatever is asked."""

    task: Task
    inner: AbstractEnv

    def reset(self, key):
        return self.inner.reset(key)

    def step(self, key, state, action):
        return self.inner.step(key, state, jnp.zeros_like(action))


def paid(obs, action, next_obs):
    return 0.5 * next_obs[0] - obs[0] + 0.1 * action[0]


@pytest.fixture(scope="module")
def env():
    return Drifting(
        Task(
            reward=paid,
            low=jnp.array([-1.0]),
            high=jnp.array([1.0]),
            names=("place", "count"),
            dt=0.3,
            horizon=HORIZON,
            terminated=lambda obs: obs[0] > 10 * EDGE,
        )
    )


KEYS = jax.random.split(jax.random.key(8), (STEPS, COPIES))
STARTS = jax.random.split(jax.random.key(9), COPIES)


def actions():
    """Mostly small, a few leaps to where nothing is a number, and one action that is none itself."""
    rng = np.random.default_rng(2)
    pushes = rng.uniform(-0.5, 0.8, (STEPS, COPIES, 1)).astype(np.float32)
    pushes[13, 2] = pushes[21, 4] = 9.0
    return pushes


@pytest.fixture(scope="module")
def lanes(env):
    """All copies together, compiled."""

    @eqx.filter_jit
    def run(env, starts, keys, actions):
        def forward(lane, inputs):
            key, action = inputs
            lane, transition, ended = jax.vmap(vector.step, in_axes=(0, None, 0, 0))(key, env, lane, action)
            return lane, (transition, ended, lane)

        first = jax.vmap(vector.reset, in_axes=(0, None))(starts, env)
        return first, jax.lax.scan(forward, first, (keys, actions))[1]

    first, rows = run(env, STARTS, KEYS, jnp.asarray(actions()))
    return jax.tree.map(np.asarray, (first, *rows))


@pytest.fixture(scope="module")
def loop(env):
    """One copy after the other, in Python: trials as lists of transitions, by copy."""
    reset, step = eqx.filter_jit(env.reset), eqx.filter_jit(env.step)
    copies = []
    for copy in range(COPIES):
        (state, obs), trials, trial = reset(STARTS[copy]), [], []
        for time in range(STEPS):
            step_key, reset_key = jax.random.split(KEYS[time, copy])
            action = actions()[time, copy]
            state, after = step(step_key, state, jnp.asarray(action))
            reward, terminated = float(after.reward), bool(after.terminated)
            late = len(trial) + 1 == HORIZON and not terminated
            trial.append((np.asarray(obs), action, reward, np.asarray(after.obs), terminated, late))
            obs = after.obs
            if terminated or late or not np.isfinite([reward, *after.obs]).all():
                trials.append(trial)
                trial = []
                state, obs = reset(reset_key)
        copies.append((trials, trial))
    return copies


def test_transitions_are_those_of_a_plain_loop(lanes, loop):
    """Bit for bit but for the order of float32 operations; `next_obs` is the true one also where a trial ends."""
    _, transition, *_ = lanes
    for copy, (trials, rest) in enumerate(loop):
        rows = [row for trial in [*trials, rest] for row in trial]
        for field, column in zip(
            ("obs", "action", "reward", "next_obs", "terminated", "truncated"), zip(*rows, strict=True), strict=True
        ):
            np.testing.assert_allclose(getattr(transition, field)[:, copy], np.array(column), rtol=1e-6, atol=1e-6)


def test_ended_trials_tell_their_return_and_length(lanes, loop):
    _, _, ended, _ = lanes
    for copy, (trials, _) in enumerate(loop):
        lengths = [len(trial) for trial in trials]
        returns = [sum(row[2] for row in trial) for trial in trials]
        over = ended.over[:, copy]
        assert np.flatnonzero(over).tolist() == (np.cumsum(lengths) - 1).tolist()
        assert ended.steps[over, copy].tolist() == lengths
        np.testing.assert_allclose(ended.return_[over, copy], returns, rtol=1e-5, atol=1e-5)
        assert not ended.steps[~over, copy].any()
        assert not ended.return_[~over, copy].any()


def test_trials_end_in_every_way(lanes):
    """The cases include termination, time limits, termination at the limit, and NaN."""
    _, transition, ended, _ = lanes
    finite = np.isfinite(transition.next_obs).all(-1)
    assert transition.terminated.any()
    assert transition.truncated.any()
    assert (transition.terminated & (ended.steps == HORIZON)).any()
    assert (~finite).any()
    assert not (transition.terminated & transition.truncated).any()
    assert (ended.over == (transition.terminated | transition.truncated | ~finite)).all()


def test_a_lane_goes_on_from_a_new_start(lanes):
    """After an end the lane holds the new trial: its obs, its hidden count, no time and no return."""
    first, transition, ended, lane = lanes
    np.testing.assert_array_equal(transition.obs[0], first.obs)
    np.testing.assert_array_equal(transition.obs[1:], lane.obs[:-1])
    for fresh in (lane.time, lane.return_, lane.env_state["count"], lane.obs[..., 1]):
        assert not fresh[ended.over].any()
    going = ~ended.over
    np.testing.assert_array_equal(lane.obs[going], transition.next_obs[going])
    np.testing.assert_array_equal(lane.env_state["count"][going], lane.time[going])
    starts = lane.obs[ended.over][:, 0]
    assert len(np.unique(starts)) == len(starts)  # no start is had twice
    assert np.isfinite(lane.obs).all()


def test_an_action_that_is_not_a_number_ends_the_trial(env):
    """Also where neither observation nor reward shows it, as with a category: the next trial must not inherit it."""
    deaf, go = Deaf(env.task, env), eqx.filter_jit(vector.step)
    lane = vector.reset(jax.random.key(1), deaf)
    for push, over in ((jnp.nan, True), (0.1, False)):
        _, transition, ended = go(jax.random.key(2), deaf, lane, jnp.array([push]))
        assert bool(ended.over) == over
        assert jnp.isfinite(transition.next_obs).all()
