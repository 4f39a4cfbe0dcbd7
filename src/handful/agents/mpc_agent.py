"""Learn a belief, plan through it, act, learn again: the composition behind PETS and its relatives."""

from typing import Any

import equinox as eqx
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from handful.agents.base import AbstractAgent
from handful.agents.explorer import explorer
from handful.data.dataset import Dataset
from handful.fields import Real, maybe_real
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport
from handful.models.bfloat16 import in_bfloat16
from handful.planning.base import AbstractPlanner
from handful.planning.mpc import MPC
from handful.planning.problem import Problem
from handful.policies.base import AbstractPolicy
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import AbstractRisk, Mean
from handful.task import Task


class MPCAgent(AbstractAgent):
    """Any learner x any planner x any propagator, run as model predictive control.

    Source: [Chua18] algorithm 1. Deviates: the first trial may be random in a way that moves the system further:
    Gaussian actions with spectrum `f^-first_colour` and a std of half the half-range; None is uniform, as published.
    """

    learner: AbstractLearner
    planner: AbstractPlanner
    propagator: AbstractPropagator
    risk: AbstractRisk = eqx.field(default_factory=Mean)
    first_colour: Real | None = maybe_real()
    mesh: Mesh | None = eqx.field(static=True, default=None)  # devices that share a planner's candidates
    bfloat16: bool = eqx.field(
        static=True, default=False
    )  # plans through nets in bfloat16; on a GPU without derivatives

    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        return self.learner.init(key, task)

    def explorer(self, key: PRNGKeyArray, task: Task) -> AbstractPolicy:
        return explorer(key, task, self.first_colour)

    def fit(self, key: PRNGKeyArray, task: Task, state: Any, data: Dataset) -> tuple[Any, FitReport]:
        return self.learner.fit(key, state, data)

    def model(self, state: Any) -> AbstractDynamics:
        return self.learner.model(state)

    def policy(self, task: Task, state: Any) -> MPC:
        belief = in_bfloat16(self.model(state)) if self.bfloat16 else self.model(state)
        return MPC(self.planner, Problem(task, belief, self.propagator, self.risk, self.mesh))
