"""Learn a belief, plan through it, act, learn again: the composition behind PETS and its relatives."""

from typing import Any

import equinox as eqx
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from handful.agents.base import AbstractTrialAgent, TrialState
from handful.data.dataset import Dataset
from handful.fields import Real, maybe_real
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport
from handful.models.bfloat16 import in_bfloat16
from handful.planning.base import AbstractPlanner
from handful.planning.mpc import MPC
from handful.planning.problem import Problem
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import AbstractRisk, Mean
from handful.task import Task


class MPCAgent(AbstractTrialAgent):
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
    bfloat16: bool = eqx.field(static=True, default=False)  # of nets while planning; on a GPU without derivatives
    same_noise: bool = eqx.field(static=True, default=True)  # for all candidates of a planner's iteration
    num_steps: int | None = eqx.field(static=True, default=None)  # [steps] between fits in a trial; None: one a trial

    def start(self, key: PRNGKeyArray, task: Task) -> Any:
        return self.learner.init(key, task)

    def fit(self, key: PRNGKeyArray, task: Task, learned: Any, data: Dataset) -> tuple[Any, FitReport]:
        return self.learner.fit(key, learned, data)

    def model(self, state: TrialState) -> AbstractDynamics:
        return self.learner.model(state.learned)

    def policy(self, task: Task, state: TrialState) -> MPC:
        belief = in_bfloat16(self.model(state)) if self.bfloat16 else self.model(state)
        problem = Problem(task, belief, self.propagator, self.risk, self.mesh, same_noise=self.same_noise)
        return MPC(self.planner, problem)
