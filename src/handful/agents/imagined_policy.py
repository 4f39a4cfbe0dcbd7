"""Learn a model, train a policy on imagined trials in it, act with the policy: ME-TRPO, MBPO and their relatives."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from handful.agent import AbstractAgent
from handful.agents.base import AbstractTrialAgent, TrialState
from handful.data.dataset import Dataset
from handful.errors import InputError
from handful.fields import Real, check_finite, check_within, maybe_real, real
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport
from handful.policies.base import AbstractPolicy
from handful.policies.stochastic import GaussianHead
from handful.policy_optimization.base import ActorCriticState
from handful.policy_optimization.imagined import Imagined
from handful.policy_optimization.improvement import Improved, Improvement
from handful.policy_optimization.reinforce import ReinforceState
from handful.task import Task


class ImaginedPolicyState(eqx.Module):
    """States of the model's learner and of the policy's agent, kept from one fit to the next."""

    belief: Any
    policy: Any
    improved: Improved  # outcome of the last training of the policy


class ImaginedPolicyAgent(AbstractTrialAgent):
    """Any model learner, and any agent that learns a policy, from imagined trials alone.

    On the system it acts with the policy without exploration. A Gaussian policy begins its training in each new model
    with a log std of at least `least_log_std`.
    """

    learner: AbstractLearner
    optimiser: AbstractAgent
    improvement: Improvement = eqx.field(default_factory=Improvement)
    length: int = eqx.field(static=True, default=200)  # [steps] of an imagined trial, at most the system's
    worlds: int = eqx.field(static=True, default=5)  # drawn from a model that has no members
    world_each_step: bool = eqx.field(static=True, default=False)  # else an imagined trial keeps to one world
    initial_state_fraction: Real = real(0.5)  # the share of imagined trials that begin where trials on the system began
    least_log_std: Real = real(-1.0)
    first_colour: Real | None = maybe_real()
    num_steps: int | None = eqx.field(static=True, default=None)  # [steps] between fits in a trial; None: one a trial

    def __check_init__(self) -> None:
        if self.length < 1 or self.worlds < 1:
            raise InputError(
                f"imagined trials have at least one step in at least one world, got length={self.length} and "
                f"worlds={self.worlds}"
            )
        check_within(self, "initial_state_fraction", 0.0, 1.0)
        check_finite(self, "least_log_std")
        if self.optimiser.episodic and self.length > self.optimiser.num_steps:
            raise InputError(
                f"{type(self.optimiser).__name__} learns from whole trials, of at most {self.optimiser.num_steps} "
                f"steps: imagined trials must be no longer, got length={self.length}"
            )

    def start(self, key: PRNGKeyArray, task: Task) -> ImaginedPolicyState:
        belief_key, policy_key = jax.random.split(key)
        belief, none = self.learner.init(belief_key, task), jnp.zeros((), int)
        count = self.learner.model(belief).world_count or self.worlds
        imagined = dataclasses.replace(task, horizon=min(self.length, task.horizon))
        policy = self.optimiser.init(policy_key, imagined)
        return ImaginedPolicyState(belief, policy, Improved(jnp.zeros(count), none, none))

    def fit(
        self, key: PRNGKeyArray, task: Task, learned: ImaginedPolicyState, data: Dataset
    ) -> tuple[ImaginedPolicyState, FitReport]:
        belief_key, world_key, policy_key = jax.random.split(key, 3)
        belief, report = self.learner.fit(belief_key, learned.belief, data)
        length = min(self.length, task.horizon)
        env = Imagined.of(
            world_key,
            task,
            self.learner.model(belief),
            data,
            length=length,
            worlds=self.worlds,
            initial_state_fraction=self.initial_state_fraction,
            world_each_step=self.world_each_step,
        )
        improvement = dataclasses.replace(self.improvement, length=min(self.improvement.length, task.horizon))
        policy, improved = improvement(policy_key, env, self.optimiser, self._widened(learned.policy))
        return ImaginedPolicyState(belief, policy, improved), report

    def model(self, state: TrialState) -> AbstractDynamics:
        return self.learner.model(state.learned.belief)

    def policy(self, task: Task, state: TrialState) -> AbstractPolicy:
        return self.optimiser.policy(task, state.learned.policy)

    def _widened(self, state: Any) -> Any:
        learned = isinstance(state, ActorCriticState | ReinforceState)
        if learned and isinstance(state.policy.head, GaussianHead):
            wider = jnp.maximum(state.policy.head.log_std, self.least_log_std)
            return eqx.tree_at(lambda s: s.policy.head.log_std, state, wider)
        return state
