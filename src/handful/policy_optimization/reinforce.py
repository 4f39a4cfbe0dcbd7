"""REINFORCE: the likelihood of what was done, weighed by what came of it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, real
from handful.policies.learner import AbstractPolicyLearner, Logged
from handful.policies.stochastic import Mode, StochasticPolicy
from handful.policy_optimization.base import Nets
from handful.policy_optimization.baselines import AbstractBaseline, LearnedValue
from handful.policy_optimization.returns import rewards_to_go
from handful.policy_optimization.steps import Adam
from handful.policy_optimization.surrogate import weighted_likelihood
from handful.task import Task
from handful.types import Transition


class ReinforceState(eqx.Module):
    """Everything that goes on from one update to the next."""

    policy: StochasticPolicy
    memory: Any  # the optimiser's
    baseline: Any  # its state
    updates: Int[Array, ""]


class Reinforce(AbstractPolicyLearner):
    """One gradient step on the mean of `log pi(choice) (reward to go - baseline)`, over whole trials.

    One trial in each environment is one sample; what an environment does afterwards is not counted. The time limit
    ends a trial like any other end: nothing is bootstrapped.

    Source: [Williams92]. Deviates: the reward to go instead of the whole return; Adam.
    """

    envs: int = eqx.field(static=True, default=8)
    length: int = eqx.field(static=True, default=500)  # at least the task's horizon
    discount: Real = real(0.99)
    baseline: AbstractBaseline = eqx.field(default_factory=LearnedValue)
    nets: Nets = eqx.field(default_factory=Nets)
    adam: Adam = eqx.field(default_factory=lambda: Adam(rate=3e-3))

    @property
    def episodic(self) -> bool:
        return True

    def init(self, key: PRNGKeyArray, task: Task) -> ReinforceState:
        """Raises `InputError` where a trial may last longer than an update."""
        if task.horizon > self.length:
            raise InputError(
                f"REINFORCE learns from whole trials, and this task's may last {task.horizon} steps: give `length` at "
                f"least that, got {self.length}"
            )
        policy_key, baseline_key = jax.random.split(key)
        policy = self.nets.policy(policy_key, task)
        memory, baseline = self.adam.init(policy.head), self.baseline.init(baseline_key, policy.inputs.size)
        return ReinforceState(policy, memory, baseline, jnp.zeros((), int))

    def actor(self, state: ReinforceState) -> StochasticPolicy:
        return state.policy

    def policy(self, state: ReinforceState) -> Mode:
        return Mode(state.policy)

    def update(self, key: PRNGKeyArray, state: ReinforceState, batch: Transition) -> tuple[ReinforceState, Logged]:
        over = batch.terminated | batch.truncated
        flat = lambda leaf: leaf.reshape(-1, *leaf.shape[2:])  # noqa: E731
        counted, obs, choice = flat(whole(over)), flat(batch.obs), flat(batch.action)
        returns = flat(jax.vmap(rewards_to_go, (1, 1, None), 1)(batch.reward, over, self.discount))
        seen = jax.vmap(state.policy.inputs)(obs)
        baseline = self.baseline.values(state.baseline, seen, returns, counted)
        advantage = jnp.where(counted, returns - baseline, 0.0)
        advantage = advantage / jnp.sqrt(jnp.sum(advantage**2) / jnp.maximum(counted.sum(), 1) + 1e-8)

        def likelihood(head: Any) -> Float[Array, ""]:
            log_prob = jax.vmap(lambda s, c: head(s).log_prob(c))(seen, choice)
            return weighted_likelihood(log_prob, advantage, counted)

        gradient = jax.grad(likelihood)(state.policy.head)
        head, memory = self.adam.ascend(state.policy.head, state.memory, gradient, state.updates)
        inputs = state.policy.inputs.seeing(obs, counted) if self.nets.standardise else state.policy.inputs
        policy = eqx.tree_at(lambda p: (p.head, p.inputs), state.policy, (head, inputs))
        entropy = jax.vmap(lambda s: head(s).entropy())(seen)
        logged = {"entropy": jnp.sum(jnp.where(counted, entropy, 0.0)) / jnp.maximum(counted.sum(), 1)}
        learned = self.baseline.fitted(key, state.baseline, seen, returns, counted)
        return ReinforceState(policy, memory, learned, state.updates + 1), logged


def whole(over: Bool[Array, "t n"]) -> Bool[Array, "t n"]:
    """The rows of each environment's first trial, where that comes to its end."""
    first = jnp.cumsum(over, axis=0) - over == 0
    return first & over.any(axis=0)
