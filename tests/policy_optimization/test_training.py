"""Whole training in one call against a loop; what is told of it, on a task whose trials can be counted by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from crossroads import Crossroads, crossroads
from handful.envs.base import AbstractEnv
from handful.policies.learner import AbstractActor
from handful.policy_optimization.training import _fresh, begin, collect, train, update
from handful.task import Task
from handful.types import Step
from probes import close, task_of

KEY = jax.random.key(6)


class Countdown(AbstractEnv):
    """Trials of as many steps as a draw says, 2 or 3, each step paying what was done in it."""

    task: Task = eqx.field(
        default_factory=lambda: task_of(lambda o, a, n: a[0], 1, [0.0, 0.0], [1.0, 1.0], horizon=3, categorical=True)
    )

    def reset(self, key):
        left = jnp.where(jax.random.bernoulli(key), 2.0, 9.0)[None]
        return left, left

    def step(self, key, state, action):
        left = state - 1
        return left, Step(left, action[0], left[0] == 0)


class Wide(AbstractActor):
    """Draws far beyond the limits, and carries out half of it within them."""

    def draw(self, key, obs):
        return 4.0 * jax.random.normal(key, (2,))

    def to_env_action(self, choice):
        return jnp.clip(choice / 2, 0.0, 1.0)


@pytest.mark.parametrize("name", ["PPO", "REINFORCE"])
def test_one_call_is_a_loop_of_updates(name):
    env, learner = Crossroads(), zoo.LEARNERS[name](crossroads(categorical=True))
    whole = eqx.filter_jit(train)(KEY, env, learner, 3)

    begin_key, key = jax.random.split(KEY)
    one = eqx.filter_jit(update)
    now, told = eqx.filter_jit(begin)(begin_key, env, learner), []
    for _ in range(3):
        now, each = one(key, env, learner, now)
        told.append(each)
    assert now.updates == 3
    close((now.learner, jax.tree.map(lambda *rows: jnp.stack(rows), *told)), whole, rtol=1e-3, atol=1e-4)


def test_what_is_kept_is_the_choice_and_what_is_done_is_its_action():
    env = Countdown()
    lanes, met, _ = eqx.filter_jit(lambda key: collect(key, env, Wide(), _fresh(key, env, 3), 7))(KEY)
    assert met.action.shape == (7, 3, 2)
    assert jnp.abs(met.action).max() > 2
    np.testing.assert_allclose(met.reward, np.clip(met.action[..., 0] / 2, 0, 1), rtol=1e-6)
    over = np.asarray(met.terminated | met.truncated)
    np.testing.assert_array_equal(met.obs[1:][~over[:-1]], met.next_obs[:-1][~over[:-1]])
    assert set(np.unique(met.obs[1:][over[:-1]])) <= {2.0, 9.0}, "a new trial"
    np.testing.assert_array_equal(met.next_obs, met.obs - 1)
    np.testing.assert_array_equal(lanes.obs[~over[-1]], met.next_obs[-1][~over[-1]])


@pytest.mark.parametrize(("name", "first_only"), [("PPO", False), ("REINFORCE", True)])
def test_steps_trials_and_returns_are_those_that_count(name, first_only):
    """All that was done, or the first trial of each environment where whole trials are learned from."""
    env = Countdown()
    learner = zoo.LEARNERS[name](env.task)
    learner = eqx.tree_at(lambda one: one.adam.rate, learner, jnp.zeros(()))  # so that the actor stays as it began

    @eqx.filter_jit
    def once(key):
        now = begin(key, env, learner)
        lane_key, act_key, _ = jax.random.split(jax.random.fold_in(key, 0), 3)
        lanes = _fresh(lane_key, env, learner.envs) if first_only else now.lanes
        return update(key, env, learner, now)[1], collect(
            act_key, env, learner.actor(now.learner), lanes, learner.length
        )

    told, (_, met, _) = once(KEY)
    steps, trials, returns = 0, 0, 0.0
    for lane in range(learner.envs):
        return_ = 0.0
        for reward, terminated, truncated in zip(
            met.reward[:, lane], met.terminated[:, lane], met.truncated[:, lane], strict=True
        ):
            steps, return_ = steps + 1, return_ + float(reward)
            if terminated or truncated:
                trials, returns, return_ = trials + 1, returns + return_, 0.0
                if first_only:
                    break
    assert (told.steps, told.trials, float(told.return_sum)) == (steps, trials, returns)
    assert (steps < learner.envs * learner.length) == first_only
    assert told.finite


def test_what_is_not_finite_is_told():
    env = Countdown()
    learner = zoo.LEARNERS["A2C"](env.task)
    start = eqx.filter_jit(begin)(KEY, env, learner)
    poisoned = eqx.tree_at(lambda now: now.lanes.env_state, start, jnp.full((8, 1), jnp.nan))
    now, told = eqx.filter_jit(update)(KEY, env, learner, poisoned)
    assert not told.finite
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(now.learner.policy) if eqx.is_inexact_array(leaf))
