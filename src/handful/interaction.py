"""Training on a pure environment: act in vectorised copies of it, update, repeat, all in one compiled program.

`vmap` over keys trains many seeds at once, `vmap` over agents many settings, since hyperparameters are leaves.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.agent import AbstractAgent
from handful.envs import vector
from handful.envs.base import AbstractEnv
from handful.envs.vector import Ended, VectorState
from handful.errors import InputError
from handful.policies.actor import AbstractActor
from handful.policies.base import AbstractPolicy
from handful.types import Batch, Transition


class TrainState(eqx.Module):
    """Everything that is carried from one update to the next."""

    agent: Any  # the agent's own state
    envs: VectorState
    updates: Int[Array, ""]


class UpdateMetrics(eqx.Module):
    """Metrics of one update, or of several on a leading axis u."""

    steps: Int[Array, "*u"]  # of interaction that were learned from
    episodes: Int[Array, "*u"]  # that ended in them
    return_sum: Float[Array, "*u"]  # of those episodes
    finite: Bool[Array, "*u"]  # whether all observations and rewards were finite
    metrics: dict[str, Float[Array, "*u"]]  # the agent's own


def init(key: PRNGKeyArray, env: AbstractEnv, agent: AbstractAgent) -> TrainState:
    """The state before the first update."""
    agent_key, env_key = jax.random.split(key)
    return TrainState(agent.init(agent_key, env.task), reset(env_key, env, agent.num_envs), jnp.zeros((), int))


def train_step(
    key: PRNGKeyArray, env: AbstractEnv, agent: AbstractAgent, state: TrainState
) -> tuple[TrainState, UpdateMetrics]:
    """Act for `agent.num_steps` steps (None: the task's horizon) in each environment, then update once.

    The same `key` serves a whole training: the number of the update is folded into it. All rows of the batch are valid,
    except for an episodic agent, where those up to the end of each environment's first episode are.
    """
    env_key, act_key, learn_key = jax.random.split(jax.random.fold_in(key, state.updates), 3)
    envs = reset(env_key, env, agent.num_envs) if agent.episodic else state.envs
    num_steps = env.task.horizon if agent.num_steps is None else agent.num_steps
    envs, transitions, ended = collect(act_key, env, agent.actor(env.task, state.agent), envs, num_steps)
    valid = jnp.ones_like(ended.over)
    if agent.episodic:
        valid = jnp.cumsum(ended.over, axis=0) - ended.over == 0
    agent_state, metrics = agent.update(learn_key, env.task, state.agent, Batch(transitions, valid))
    over = ended.over & valid
    done = UpdateMetrics(
        steps=valid.sum(),
        episodes=over.sum(),
        return_sum=jnp.sum(jnp.where(over, ended.return_, 0.0)),
        finite=(jnp.isfinite(transitions.next_obs).all(-1) & jnp.isfinite(transitions.reward) | ~valid).all(),
        metrics=metrics,
    )
    return TrainState(agent_state, envs, state.updates + 1), done


def train_steps(
    key: PRNGKeyArray, env: AbstractEnv, agent: AbstractAgent, state: TrainState, updates: int
) -> tuple[TrainState, UpdateMetrics]:
    """Runs `updates` updates in one scan."""
    return jax.lax.scan(lambda state, _: train_step(key, env, agent, state), state, None, length=updates)


def train(key: PRNGKeyArray, env: AbstractEnv, agent: AbstractAgent, updates: int) -> tuple[Any, UpdateMetrics]:
    """Trains from scratch; returns the agent's state and the metrics of every update.

    >>> from handful.envs.cartpole_v1 import CartPoleV1
    >>> from handful.policy_optimization.ppo import PPO
    >>> state, metrics = eqx.filter_jit(train)(jax.random.key(0), CartPoleV1(), PPO(num_envs=2, num_steps=8), 3)
    >>> metrics.steps.tolist()
    [16, 16, 16]
    """
    init_key, key = jax.random.split(key)
    state, metrics = train_steps(key, env, agent, init(init_key, env, agent), updates)
    return state.agent, metrics


def collect(
    key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy, envs: VectorState, num_steps: int
) -> tuple[VectorState, Transition, Ended]:
    """Acts for `num_steps` steps in each environment; the results have leading axes t n.

    The transitions hold raw actions if the policy is an `AbstractActor`, else environment actions. Raises `InputError`
    if the policy has memory.
    """
    memory = policy.init()
    if jax.tree.leaves(memory):
        raise InputError(f"a policy without memory is needed to act in vectorised copies, got {type(policy).__name__}")

    def act(key: PRNGKeyArray, obs: Float[Array, "o"]) -> tuple[Float[Array, "c"], Float[Array, "a"]]:
        if isinstance(policy, AbstractActor):
            raw_action = policy.sample(key, obs)
            return raw_action, policy.to_env_action(raw_action)
        action, _ = policy(key, obs, memory)
        return action, action

    def one(key: PRNGKeyArray, state: VectorState) -> tuple[VectorState, tuple[Transition, Ended]]:
        act_key, env_key = jax.random.split(key)
        raw_action, action = act(act_key, state.obs)
        state, transition, ended = vector.step(env_key, env, state, action)
        return state, (eqx.tree_at(lambda t: t.action, transition, raw_action), ended)

    def step(envs: VectorState, key: PRNGKeyArray) -> tuple[VectorState, tuple[Transition, Ended]]:
        return jax.vmap(one)(jax.random.split(key, envs.time.shape[0]), envs)

    envs, (transitions, ended) = jax.lax.scan(step, envs, jax.random.split(key, num_steps))
    return envs, transitions, ended


def reset(key: PRNGKeyArray, env: AbstractEnv, num_envs: int) -> VectorState:
    """`num_envs` environments at the start of an episode."""
    return jax.vmap(lambda k: vector.reset(k, env))(jax.random.split(key, num_envs))
