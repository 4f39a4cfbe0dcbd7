"""REINFORCE: the log-likelihood of actions, weighted by the rewards that followed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.agent import AbstractAgent, Metrics
from handful.errors import InputError
from handful.fields import Real, check_within, real
from handful.optimiser import Adam
from handful.policies.stochastic import Mode, StochasticPolicy
from handful.policy_optimization.base import ActorCriticNets, kept
from handful.policy_optimization.baselines import AbstractBaseline, LearnedValue
from handful.policy_optimization.returns import rewards_to_go
from handful.policy_optimization.surrogate import weighted_likelihood
from handful.task import Task
from handful.types import Batch


class ReinforceState(eqx.Module):
    """Everything that is carried from one update to the next."""

    policy: StochasticPolicy
    opt_state: Any
    baseline: Any  # its state
    updates: Int[Array, ""]


class Reinforce(AbstractAgent):
    """One gradient step on the mean of `log pi(raw action) (reward to go - baseline)`, over whole episodes.

    It learns from the first episode of each environment, if that ends within `num_steps` and is finite. A time limit
    ends an episode like termination does: there is no bootstrapping. Its metric: `entropy` [nats] of the new policy.

    Source: [Williams92]. Deviates: the reward to go instead of the whole return; Adam.
    """

    num_envs: int = eqx.field(static=True, default=8)
    num_steps: int = eqx.field(static=True, default=500)  # at least the task's horizon
    discount: Real = real(0.99)
    baseline: AbstractBaseline = eqx.field(default_factory=LearnedValue)
    nets: ActorCriticNets = eqx.field(default_factory=ActorCriticNets)
    adam: Adam = eqx.field(default_factory=lambda: Adam(learning_rate=3e-3))

    def __check_init__(self) -> None:
        for name in ("num_envs", "num_steps"):
            check_within(self, name, 1.0)
        check_within(self, "discount", 0.0, 1.0)

    @property
    def episodic(self) -> bool:
        return True

    def init(self, key: PRNGKeyArray, task: Task) -> ReinforceState:
        """Raises `InputError` if an episode may be longer than `num_steps`."""
        if task.horizon > self.num_steps:
            raise InputError(
                f"REINFORCE learns from whole episodes, and those of this task may last {task.horizon} steps: "
                f"num_steps must be at least that, got {self.num_steps}"
            )
        policy_key, baseline_key = jax.random.split(key)
        policy = self.nets.policy(policy_key, task)
        opt_state, baseline = self.adam.init(policy.head), self.baseline.init(baseline_key, policy.inputs.size)
        return ReinforceState(policy, opt_state, baseline, jnp.zeros((), int))

    def actor(self, task: Task, state: ReinforceState) -> StochasticPolicy:
        return state.policy

    def policy(self, task: Task, state: ReinforceState) -> Mode:
        return Mode(state.policy)

    def update(
        self, key: PRNGKeyArray, task: Task, state: ReinforceState, batch: Batch
    ) -> tuple[ReinforceState, Metrics]:
        rows = batch.transitions
        over = rows.terminated | rows.truncated
        counting = whole(batch.valid, over) & (rows.finite | ~batch.valid).all(axis=0)
        rows = jax.tree.map(lambda leaf: kept(leaf, counting), rows)  # 0 times NaN would be NaN
        flat = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])
        valid, obs, raw_action = flat(counting), flat(rows.obs), flat(rows.action)
        returns = flat(jax.vmap(rewards_to_go, (1, 1, None), 1)(rows.reward, over, self.discount))
        inputs = jax.vmap(state.policy.inputs)(obs)
        baseline = self.baseline.values(state.baseline, inputs, returns, valid)
        advantage = jnp.where(valid, returns - baseline, 0.0)
        advantage = advantage / jnp.sqrt(jnp.sum(advantage**2) / jnp.maximum(valid.sum(), 1) + 1e-8)

        def likelihood(head: Any) -> Float[Array, ""]:
            log_prob = jax.vmap(lambda x, a: head(x).log_prob(a))(inputs, raw_action)
            return weighted_likelihood(log_prob, advantage, valid)

        gradient = jax.grad(likelihood)(state.policy.head)
        head, opt_state = self.adam.ascend(state.policy.head, state.opt_state, gradient, state.updates)
        normaliser = state.policy.inputs
        if self.nets.standardise:
            normaliser = normaliser.update_normaliser(obs, valid)
        policy = eqx.tree_at(lambda p: (p.head, p.inputs), state.policy, (head, normaliser))
        entropy = jax.vmap(lambda x: head(x).entropy())(inputs)
        metrics = {"entropy": jnp.sum(jnp.where(valid, entropy, 0.0)) / jnp.maximum(valid.sum(), 1)}
        baseline_state = self.baseline.fit(key, state.baseline, inputs, returns, valid)
        return ReinforceState(policy, opt_state, baseline_state, state.updates + 1), metrics


def whole(valid: Bool[Array, "t n"], over: Bool[Array, "t n"]) -> Bool[Array, "t n"]:
    """The valid rows of those environments in which an episode ends in a valid row."""
    return valid & (over & valid).any(axis=0)
