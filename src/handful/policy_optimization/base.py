"""What actor-critic agents share: nets, state, and samples with advantages."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from handful.agent import AbstractAgent
from handful.fields import Real, check_finite, check_hidden, real
from handful.policies.distributions import AbstractDistribution
from handful.policies.stochastic import Head, Mode, StochasticPolicy, Value
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.reward_scale import RewardScale
from handful.task import Task
from handful.types import Transition

_ROUNDING = 1e-6  # relative: means in float32 leave a constant with a std of about 1e-7 of its size


class ActorCriticNets(eqx.Module):
    """Architecture of policy and value: two separate nets with the same hidden layers."""

    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    log_std: Real = real(0.0)  # initial, of a Gaussian policy; a std of 1 is half the range of actions
    squash: bool = eqx.field(static=True, default=False)  # map raw actions into the limits by tanh, instead of clipping
    standardise: bool = eqx.field(static=True, default=False)  # inputs, by running statistics
    state_dependent_std: bool = eqx.field(static=True, default=False)  # the policy net also gives the std

    def __check_init__(self) -> None:
        check_hidden(self)
        check_finite(self, "log_std")

    def policy(self, key: PRNGKeyArray, task: Task) -> StochasticPolicy:
        """Categorical or Gaussian, according to the task's actions."""
        if task.categorical:
            return StochasticPolicy.categorical(key, task, self.hidden)
        return StochasticPolicy.gaussian(
            key,
            task,
            self.hidden,
            log_std=self.log_std,
            squash=self.squash,
            state_dependent_std=self.state_dependent_std,
        )

    def value(self, key: PRNGKeyArray, task: Task) -> Value:
        return Value.init(key, task, self.hidden)


class ActorCriticState(eqx.Module):
    """Everything that is carried from one update to the next."""

    policy: StochasticPolicy
    value: Value
    opt_state: Any
    surrogate_state: Any
    reward_scale: RewardScale
    updates: Int[Array, ""]


class Samples(eqx.Module):
    """The data of an update, one row per step. Rows that are not valid hold zeros: 0 times NaN would be NaN."""

    inputs: Float[Array, "b i"]  # of the nets
    raw_action: Float[Array, "b c"]
    distribution: AbstractDistribution  # leading axis b: what the raw action was sampled from
    log_prob: Float[Array, "b"]  # of the raw action under that distribution
    advantage: Float[Array, "b"]
    target: Float[Array, "b"]  # of the value
    valid: Bool[Array, "b"] | None = None  # None: all

    def mean(self, values: Float[Array, "b"]) -> Float[Array, ""]:
        """The mean over the valid rows; 0 without any."""
        return values.mean() if self.valid is None else _mean_and_std(values, self.valid)[0]


class AbstractActorCritic(AbstractAgent):
    """Improves a policy by advantages computed with a learned value.

    All rows of a batch must be valid. Those that are not finite are left out; advantages of the rows before them end
    there, as at a truncation.
    """

    nets: eqx.AbstractVar[ActorCriticNets]
    advantages: eqx.AbstractVar[GAE]
    scale_rewards: eqx.AbstractVar[bool]  # by the running std of returns

    def actor(self, task: Task, state: ActorCriticState) -> StochasticPolicy:
        return state.policy

    def policy(self, task: Task, state: ActorCriticState) -> Mode:
        return Mode(state.policy)

    def on_reset(self, state: ActorCriticState) -> ActorCriticState:
        return eqx.tree_at(lambda s: s.reward_scale.return_, state, jnp.zeros(self.num_envs))

    def start(self, key: PRNGKeyArray, task: Task, surrogate_state: Any, optimiser: Any) -> ActorCriticState:
        """The initial state, with one optimiser state for policy head and value net together."""
        policy_key, value_key = jax.random.split(key)
        policy, value = self.nets.policy(policy_key, task), self.nets.value(value_key, task)
        opt_state, scale = optimiser.init((policy.head, value.net)), RewardScale.init(self.num_envs)
        return ActorCriticState(policy, value, opt_state, surrogate_state, scale, jnp.zeros((), int))

    def samples(self, state: ActorCriticState, transitions: Transition) -> tuple[Samples, RewardScale]:
        """Samples of transitions (t n), and the updated reward scale. The inputs' statistics are not updated."""
        valid = transitions.finite
        rows = jax.tree.map(lambda leaf: kept(leaf, valid), transitions)
        truncated = rows.truncated | ~valid
        rewards, scale = rows.reward, state.reward_scale
        if self.scale_rewards:
            scale = scale.update(rewards, rows.terminated | truncated, self.advantages.discount)
            rewards = scale(rewards)
        value = jax.vmap(jax.vmap(state.value))
        values, next_values = kept(value(rows.obs), valid), kept(value(rows.next_obs), valid)
        advantage = jax.vmap(self.advantages, in_axes=1, out_axes=1)(
            rewards, values, next_values, rows.terminated, truncated
        )
        flat = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])
        inputs, raw_action = jax.vmap(state.policy.inputs)(flat(rows.obs)), flat(rows.action)
        distribution = jax.vmap(state.policy.head)(inputs)
        log_prob = jax.vmap(lambda d, a: d.log_prob(a))(distribution, raw_action)
        target = flat(advantage + values)
        return Samples(inputs, raw_action, distribution, log_prob, flat(advantage), target, flat(valid)), scale

    def next_state(
        self, state: ActorCriticState, transitions: Transition, weights: tuple[Head, Any], **carried: Any
    ) -> ActorCriticState:
        """The state after an update: new weights of policy head and value net, and updated input statistics."""
        head, net = weights
        inputs = state.policy.inputs
        if self.nets.standardise:
            inputs = inputs.update_normaliser(transitions.obs, transitions.finite)
        policy = eqx.tree_at(lambda p: (p.head, p.inputs), state.policy, (head, inputs))
        value = eqx.tree_at(lambda v: (v.net, v.inputs), state.value, (net, inputs))
        return ActorCriticState(policy, value, **carried, updates=state.updates + 1)


def standardised(values: Float[Array, "b"], valid: Bool[Array, "b"] | None = None) -> Float[Array, "b"]:
    """Values whose valid rows have mean 0 and std 1; zeros if these are constant up to rounding, and in other rows."""
    valid = jnp.ones_like(values, bool) if valid is None else valid
    mean, std = _mean_and_std(values, valid)
    constant = std <= _ROUNDING * jnp.abs(jnp.where(valid, values, 0.0)).max()
    return jnp.where(constant | ~valid, 0.0, (values - mean) / jnp.where(constant, 1.0, std))


def explained_variance(
    values: Float[Array, "b"], targets: Float[Array, "b"], valid: Bool[Array, "b"] | None = None
) -> Float[Array, ""]:
    """`1 - Var(targets - values) / Var(targets)`; 0 if the targets are constant up to rounding."""
    valid = jnp.ones_like(values, bool) if valid is None else valid
    std, left = _mean_and_std(targets, valid)[1], _mean_and_std(targets - values, valid)[1]
    constant = std <= _ROUNDING * jnp.abs(jnp.where(valid, targets, 0.0)).max()
    return jnp.where(constant, 0.0, 1 - (left / jnp.where(constant, 1.0, std)) ** 2)


def _mean_and_std(values: Float[Array, "b"], valid: Bool[Array, "b"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Of the valid rows; zeros without any."""
    count = jnp.maximum(valid.sum(), 1)
    mean = jnp.sum(jnp.where(valid, values, 0.0)) / count
    return mean, jnp.sqrt(jnp.sum(jnp.where(valid, (values - mean) ** 2, 0.0)) / count)


def kept(leaf: Shaped[Array, "t n ..."], valid: Bool[Array, "t n"]) -> Shaped[Array, "t n ..."]:
    """The leaf with zeros, or False, in rows that are not valid."""
    return jnp.where(valid.reshape(*valid.shape, *[1] * (leaf.ndim - 2)), leaf, jnp.zeros_like(leaf))
