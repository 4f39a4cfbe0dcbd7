"""Policy improvement inside a learned model, with early stopping."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.agent import AbstractAgent
from handful.envs import vector
from handful.fields import Real, Whole, check_within, real, whole
from handful.interaction import TrainState, reset, train_steps
from handful.policies.base import AbstractPolicy
from handful.policy_optimization.imagined import Imagined

_EVAL_INITIAL_STATE_FRACTION = 0.5


class Improved(eqx.Module):
    """The outcome of an improvement."""

    returns: Float[Array, "w"]  # of the kept policy, in each world
    updates: Int[Array, ""]  # made in all
    kept: Int[Array, ""]  # number of updates after which the kept policy was reached


class Improvement(eqx.Module):
    """Updates an agent in blocks; after each, its policy is evaluated in every world from the same starts.

    Evaluation uses the policy without exploration, for `length` steps, however short the episodes are that the agent
    learns from; half of the episodes start where episodes on the system started. A policy replaces the kept one if its
    return is greater in at least `improved_fraction` of the worlds; 0 keeps every policy. Improvement stops after
    `patience` blocks in a row that were not kept, or after `blocks` in all, and returns the kept state.

    Source: [Kurutach18] section 4.3. Deviates: patience; worlds are compared from the same starts with the same noise.
    """

    updates: int = eqx.field(static=True, default=5)  # per block
    eval_episodes: int = eqx.field(static=True, default=20)  # per world
    length: int = eqx.field(static=True, default=200)  # [steps] of an evaluation episode
    blocks: Whole = whole(20)  # at most
    improved_fraction: Real = real(0.7)  # of the worlds
    patience: Whole = whole(2)  # blocks

    def __check_init__(self) -> None:
        for name in ("updates", "eval_episodes", "length", "patience"):
            check_within(self, name, 1.0)
        check_within(self, "blocks", 0.0)
        check_within(self, "improved_fraction", 0.0, 1.0)

    def __call__(self, key: PRNGKeyArray, env: Imagined, agent: AbstractAgent, state: Any) -> tuple[Any, Improved]:
        """The agent's state, improved from `state`."""
        env_key, train_key, eval_key = jax.random.split(key, 3)
        envs = reset(env_key, env, agent.num_envs)
        eval_task = dataclasses.replace(env.task, horizon=self.length)
        eval_env = dataclasses.replace(env, task=eval_task, initial_state_fraction=_EVAL_INITIAL_STATE_FRACTION)
        zero = jnp.zeros((), int)
        start = TrainState(agent.on_reset(state), envs, zero)

        def running(carry: tuple) -> Bool[Array, ""]:
            _, _, blocks, rejected = carry
            return (blocks <= self.blocks) & (rejected < self.patience)

        def block(carry: tuple) -> tuple:
            now, kept, blocks, rejected = carry
            trained = lambda now: train_steps(train_key, env, agent, now, self.updates)[0]
            now = jax.lax.cond(blocks > 0, trained, lambda now: now, now)  # the first block only evaluates
            returns = returns_in(eval_key, eval_env, agent.policy(env.task, now.agent), self.eval_episodes)
            better = (blocks == 0) | self.improves(kept[1], returns)
            kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), (now.agent, returns, now.updates), kept)
            return now, kept, blocks + 1, jnp.where(better, 0, rejected + 1)

        kept = (state, jnp.zeros(env.world_count), zero)
        now, (kept, returns, at), _, _ = jax.lax.while_loop(running, block, (start, kept, zero, zero))
        return kept, Improved(returns, now.updates, at)

    def improves(self, before: Float[Array, "w"], after: Float[Array, "w"]) -> Bool[Array, ""]:
        """Whether returns increased in enough worlds."""
        return jnp.mean(after > before) >= self.improved_fraction


def returns_in(key: PRNGKeyArray, env: Imagined, policy: AbstractPolicy, episodes: int) -> Float[Array, "w"]:
    """The mean return of a policy in each world, over `episodes` imagined episodes from the same starts."""

    def episode(key: PRNGKeyArray, env: Imagined) -> Float[Array, ""]:
        start_key, roll_key = jax.random.split(key)
        state = vector.reset(start_key, env)

        def step(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, None]:
            state, memory, over, total = carry
            act_key, step_key = jax.random.split(key)
            action, memory = policy(act_key, state.obs, memory)
            state, transition, ended = vector.step(step_key, env, state, action)
            return (state, memory, over | ended.over, total + jnp.where(over, 0.0, transition.reward)), None

        start = (state, policy.init(), jnp.zeros((), bool), jnp.zeros(()))
        return jax.lax.scan(step, start, jax.random.split(roll_key, env.task.horizon))[0][3]

    keys = jax.random.split(key, episodes)
    in_world = lambda index: jax.vmap(lambda k: episode(k, env.world(index)))(keys).mean()
    return jax.vmap(in_world)(jnp.arange(env.world_count))
