"""Whole training in one call against a loop; what is told of it, on a task whose trials can be counted by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from crossroads import Crossroads, crossroads
from handful.agent import AbstractAgent
from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.interaction import collect, init, reset, train, train_step
from handful.policies.actor import AbstractActor
from handful.policies.simple import ConstantPolicy, OpenLoop
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

    def sample(self, key, obs):
        return 4.0 * jax.random.normal(key, (2,))

    def to_env_action(self, raw_action):
        return jnp.clip(raw_action / 2, 0.0, 1.0)


@pytest.mark.parametrize("name", ["PPO", "REINFORCE"])
def test_one_call_is_a_loop_of_updates(name):
    env, learner = Crossroads(), zoo.LEARNERS[name](crossroads(categorical=True))
    whole = eqx.filter_jit(train)(KEY, env, learner, 3)

    begin_key, key = jax.random.split(KEY)
    one = eqx.filter_jit(train_step)
    now, metrics = eqx.filter_jit(init)(begin_key, env, learner), []
    for _ in range(3):
        now, each = one(key, env, learner, now)
        metrics.append(each)
    assert now.updates == 3
    close((now.agent, jax.tree.map(lambda *rows: jnp.stack(rows), *metrics)), whole, rtol=1e-3, atol=1e-4)


def test_what_is_kept_is_the_choice_and_what_is_done_is_its_action():
    env = Countdown()
    lanes, met, _ = eqx.filter_jit(lambda key: collect(key, env, Wide(), reset(key, env, 3), 7))(KEY)
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
    learner = eqx.tree_at(
        lambda one: one.adam.learning_rate, learner, jnp.zeros(())
    )  # so that the actor stays as it began

    @eqx.filter_jit
    def once(key):
        now = init(key, env, learner)
        lane_key, act_key, _ = jax.random.split(jax.random.fold_in(key, 0), 3)
        lanes = reset(lane_key, env, learner.num_envs) if first_only else now.envs
        actor = learner.actor(env.task, now.agent)
        return train_step(key, env, learner, now)[1], collect(act_key, env, actor, lanes, learner.num_steps)

    metrics, (_, met, _) = once(KEY)
    steps, trials, returns = 0, 0, 0.0
    for lane in range(learner.num_envs):
        return_ = 0.0
        for reward, terminated, truncated in zip(
            met.reward[:, lane], met.terminated[:, lane], met.truncated[:, lane], strict=True
        ):
            steps, return_ = steps + 1, return_ + float(reward)
            if terminated or truncated:
                trials, returns, return_ = trials + 1, returns + return_, 0.0
                if first_only:
                    break
    assert (metrics.steps, metrics.episodes, float(metrics.return_sum)) == (steps, trials, returns)
    assert (steps < learner.num_envs * learner.num_steps) == first_only
    assert metrics.finite


def test_what_is_not_finite_is_told():
    env = Countdown()
    learner = zoo.LEARNERS["A2C"](env.task)
    start = eqx.filter_jit(init)(KEY, env, learner)
    poisoned = eqx.tree_at(lambda now: now.envs.env_state, start, jnp.full((8, 1), jnp.nan))
    now, metrics = eqx.filter_jit(train_step)(KEY, env, learner, poisoned)
    assert not metrics.finite
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(now.agent.policy) if eqx.is_inexact_array(leaf))


class Sure(AbstractAgent):
    """Always takes the second action; keeps the batch."""

    whole: bool = eqx.field(static=True, default=False)
    num_envs: int = 4
    num_steps: int | None = None

    @property
    def episodic(self) -> bool:
        return self.whole

    def init(self, key, task):
        return ()

    def policy(self, task, state):
        return ConstantPolicy(jnp.array([0.25, 1.0]))

    def update(self, key, task, state, batch):
        return batch, {"rows": batch.valid.sum().astype(float)}


@pytest.mark.parametrize("whole", [False, True])
def test_a_policy_without_memory_is_trained_on_its_actions_for_whole_trials(whole):
    """`num_steps` is None, so a batch is as long as the task; rows after a first end are valid if trials go on."""
    env, agent = Countdown(), Sure(whole=whole)
    batch, metrics = eqx.filter_jit(lambda key: train_step(key, env, agent, init(key, env, agent)))(KEY)
    batch = batch.agent
    np.testing.assert_array_equal(batch.transitions.action, np.broadcast_to([0.25, 1.0], (3, 4, 2)))
    over = np.asarray(batch.transitions.terminated | batch.transitions.truncated)
    assert over[1].any(), "trials of two steps"
    assert not over[1].all()
    expected = (np.cumsum(over, axis=0) - over == 0) if whole else np.ones((3, 4), bool)
    np.testing.assert_array_equal(batch.valid, expected)
    assert metrics.steps == metrics.metrics["rows"] == expected.sum()


def test_a_policy_with_memory_cannot_act_in_copies():
    env = Countdown()
    with pytest.raises(InputError, match=r"a policy without memory is needed .* got OpenLoop"):
        collect(KEY, env, OpenLoop(jnp.zeros((3, 2))), reset(KEY, env, 2), 3)
