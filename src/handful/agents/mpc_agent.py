"""Learn a belief, plan through it, act, learn again: the composition behind PETS and its relatives."""

from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from handful.agents.base import AbstractAgent
from handful.data.dataset import Dataset
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport
from handful.planning.base import AbstractPlanner
from handful.planning.mpc import MPC
from handful.planning.problem import Problem
from handful.policies.simple import UniformPolicy
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import AbstractRisk, Mean
from handful.task import Task


class MPCAgent(AbstractAgent):
    """Any learner x any planner x any propagator, run as model predictive control.

    Source: [Chua18] algorithm 1. Deviates: no.
    """

    learner: AbstractLearner
    planner: AbstractPlanner
    propagator: AbstractPropagator
    risk: AbstractRisk = eqx.field(default_factory=Mean)

    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        return self.learner.init(key, task)

    def explorer(self, key: PRNGKeyArray, task: Task) -> UniformPolicy:
        return UniformPolicy.of(task)

    def fit(self, key: PRNGKeyArray, state: Any, data: Dataset) -> tuple[Any, FitReport]:
        return self.learner.fit(key, state, data)

    def model(self, state: Any) -> AbstractDynamics:
        return self.learner.model(state)

    def policy(self, task: Task, state: Any) -> MPC:
        return MPC(self.planner, Problem(task, self.model(state), self.propagator, self.risk))
