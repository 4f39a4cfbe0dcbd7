"""PETS whose search begins at what a policy would do, and whose plans go on with what a value says: both practised."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.agents.base import AbstractTrialAgent, TrialState
from handful.agents.mbpo import make as make_mbpo
from handful.agents.mbpo import mbpo
from handful.agents.options.planning import GUIDED_HORIZON, PETSPolicy
from handful.agents.pets import pets_planner
from handful.agents.planners import planner_of, propagator_of, risk_of
from handful.agents.practising import PractisingAgent, PractisingState
from handful.data.dataset import Dataset
from handful.envs.info import TaskInfo
from handful.errors import InputError
from handful.fields import Real
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport
from handful.planning.base import AbstractPlanner
from handful.planning.mpc import MPC
from handful.planning.policy_guided import PolicyGuided
from handful.planning.problem import Problem
from handful.policies.stochastic import Value
from handful.policy_optimization.base import AbstractActorCritic, ActorCriticState
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import AbstractRisk, Mean
from handful.propagation.trajectory_sampling import TSInf
from handful.task import Task


class Worth(eqx.Module):
    """What a learned value says of an observation, in the units of the reward."""

    value: Value
    unit: Float[Array, ""]

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, ""]:
        return self.unit * self.value(obs)


class PolicyGuidedAgent(AbstractTrialAgent):
    """Any agent that practises by an actor-critic x any planner: a shorter horizon for the same return.

    Plans are judged by the value's discount, since the value goes on where the plan ends.

    Source: [Lowrey19]; [Hansen22]. Deviates: policy and value are learned in imagined trials alone, by PPO.
    """

    practice: PractisingAgent
    planner: AbstractPlanner  # one that a policy can prompt
    propagator: AbstractPropagator
    risk: AbstractRisk = eqx.field(default_factory=Mean)
    num_steps: int | None = eqx.field(static=True, default=None)  # [steps] between fits in a trial; None: one a trial

    def __check_init__(self) -> None:
        if not isinstance(self.practice.optimiser, AbstractActorCritic):
            raise InputError(
                "the end of a plan is judged by a learned value, so the policy must be learned by an actor-critic such "
                f"as PPO or TRPO; got {type(self.practice.optimiser).__name__}"
            )

    def start(self, key: PRNGKeyArray, task: Task) -> PractisingState:
        return self.practice.start(key, task)

    @property
    def first_colour(self) -> Real | None:
        return self.practice.first_colour

    def fit(
        self, key: PRNGKeyArray, task: Task, learned: PractisingState, data: Dataset
    ) -> tuple[PractisingState, FitReport]:
        return self.practice.fit(key, task, learned, data)

    def model(self, state: TrialState) -> AbstractDynamics:
        return self.practice.model(state)

    def policy(self, task: Task, state: TrialState) -> MPC:
        optimiser, learned = self.practice.optimiser, state.learned.policy
        assert isinstance(optimiser, AbstractActorCritic)
        assert isinstance(learned, ActorCriticState)
        unit = learned.reward_scale.unit if optimiser.scale_rewards else jnp.ones(())
        problem = Problem(
            task,
            self.model(state),
            self.propagator,
            self.risk,
            terminal_value=Worth(learned.value, unit),
            discount=optimiser.advantages.discount,
        )
        return MPC(PolicyGuided(self.planner, optimiser.policy(task, learned)), problem)


def pets_policy(
    task: str = "cartpole-swingup",
    *,
    learner: AbstractLearner | None = None,
    horizon: int = GUIDED_HORIZON,
    particles: int = 5,
) -> PolicyGuidedAgent:
    """Our default of PETS, its horizon cut, with MBPO's policy and value."""
    return PolicyGuidedAgent(mbpo(task, learner=learner), pets_planner(horizon=horizon), TSInf(particles))


def make(given: PETSPolicy, env: Any, info: TaskInfo, steps: int | None = None) -> PolicyGuidedAgent:
    """Planning guided by MBPO's policy and value, by its options.

    Raises `InputError` where options do not fit each other or the task.
    """
    options = given.resolved(env, info)
    practice = make_mbpo(options, env, info)
    return PolicyGuidedAgent(practice, planner_of(options), propagator_of(options), risk_of(options))
