"""What actor-critics have in common: nets, their state, and samples with advantages."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.fields import Real, real
from handful.policies.distributions import AbstractDistribution
from handful.policies.learner import AbstractPolicyLearner
from handful.policies.stochastic import Mode, StochasticPolicy, Value
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.reward_scale import RewardScale
from handful.task import Task
from handful.types import Transition

_ROUNDING = 1e-6  # of a number's size: means in float32 leave a constant with a std of about 1e-7 of it


class Nets(eqx.Module):
    """What policy and value are made of: two nets that share nothing."""

    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    log_std: Real = real(0.0)  # of a Gaussian policy to begin with, where 1 is half the range of actions
    squash: bool = eqx.field(static=True, default=False)  # choices by tanh into the limits, instead of clipped
    standardise: bool = eqx.field(static=True, default=False)  # inputs, by their running statistics

    def policy(self, key: PRNGKeyArray, task: Task) -> StochasticPolicy:
        """Categorical or Gaussian, as the task's actions are."""
        if task.categorical:
            return StochasticPolicy.categorical(key, task, self.hidden)
        return StochasticPolicy.gaussian(key, task, self.hidden, log_std=self.log_std, squash=self.squash)

    def value(self, key: PRNGKeyArray, task: Task) -> Value:
        return Value.init(key, task, self.hidden)


class ActorCriticState(eqx.Module):
    """Everything that goes on from one update to the next."""

    policy: StochasticPolicy
    value: Value
    memory: Any  # the optimiser's
    surrogate: Any  # its memory
    rewards: RewardScale
    updates: Int[Array, ""]


class Samples(eqx.Module):
    """What an update learns from, one row a step."""

    seen: Float[Array, "b i"]  # by the nets, of the observation
    choice: Float[Array, "b c"]
    before: AbstractDistribution  # leading axis b: what the choice was drawn from
    log_prob: Float[Array, "b"]  # of the choice, then
    advantage: Float[Array, "b"]
    target: Float[Array, "b"]  # of the value


class AbstractActorCritic(AbstractPolicyLearner):
    """Learns a policy by the advantages that a learned value gives."""

    nets: eqx.AbstractVar[Nets]
    advantages: eqx.AbstractVar[GAE]
    scale_rewards: eqx.AbstractVar[bool]  # by the running std of returns

    def actor(self, state: ActorCriticState) -> StochasticPolicy:
        return state.policy

    def policy(self, state: ActorCriticState) -> Mode:
        return Mode(state.policy)

    def on_reset(self, state: ActorCriticState) -> ActorCriticState:
        return eqx.tree_at(lambda s: s.rewards.return_, state, jnp.zeros(self.envs))

    def start(self, key: PRNGKeyArray, task: Task, surrogate: Any, optimiser: Any) -> ActorCriticState:
        """Fresh nets. `optimiser` is asked for its memory of policy head and value net."""
        policy_key, value_key = jax.random.split(key)
        policy, value = self.nets.policy(policy_key, task), self.nets.value(value_key, task)
        memory = optimiser.init((policy.head, value.net))
        return ActorCriticState(policy, value, memory, surrogate, RewardScale.init(self.envs), jnp.zeros((), int))

    def samples(self, state: ActorCriticState, batch: Transition) -> tuple[Samples, RewardScale]:
        """Advantages and targets under the value as it stands; statistics of the inputs stay as they were."""
        rewards, scale = batch.reward, state.rewards
        if self.scale_rewards:
            scale = scale.seeing(rewards, batch.terminated | batch.truncated, self.advantages.discount)
            rewards = scale(rewards)
        each = jax.vmap(jax.vmap(state.value))
        values = each(batch.obs)
        advantage = jax.vmap(self.advantages, in_axes=1, out_axes=1)(
            rewards, values, each(batch.next_obs), batch.terminated, batch.truncated
        )
        flat = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])  # noqa: E731
        seen, choice = jax.vmap(state.policy.inputs)(flat(batch.obs)), flat(batch.action)
        before = jax.vmap(state.policy.head)(seen)
        log_prob = jax.vmap(lambda d, c: d.log_prob(c))(before, choice)
        return Samples(seen, choice, before, log_prob, flat(advantage), flat(advantage + values)), scale

    def moved_on(
        self, state: ActorCriticState, batch: Transition, weights: tuple, **remembered: Any
    ) -> ActorCriticState:
        """The state after an update: new weights, and only now the statistics of what was seen in it."""
        head, net = weights
        inputs = state.policy.inputs.seeing(batch.obs) if self.nets.standardise else state.policy.inputs
        policy = eqx.tree_at(lambda p: (p.head, p.inputs), state.policy, (head, inputs))
        value = eqx.tree_at(lambda v: (v.net, v.inputs), state.value, (net, inputs))
        return ActorCriticState(policy, value, **remembered, updates=state.updates + 1)


def standardised(values: Float[Array, "b"]) -> Float[Array, "b"]:
    """Mean zero and std one; zeros where all are the same but for rounding."""
    apart, std = values - values.mean(), values.std()
    same = std <= _ROUNDING * jnp.abs(values).max()
    return jnp.where(same, 0.0, apart / jnp.where(same, 1.0, std))


def explained(values: Float[Array, "b"], targets: Float[Array, "b"]) -> Float[Array, ""]:
    """The share of the targets' variance that values explain; zero where they are the same but for rounding."""
    std = targets.std()
    same = std <= _ROUNDING * jnp.abs(targets).max()
    return jnp.where(same, 0.0, 1 - ((targets - values).std() / jnp.where(same, 1.0, std)) ** 2)
