"""PETS whose search begins at what a policy would do, and whose plans go on with what a value says: both practised."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.agents.base import AbstractAgent
from handful.agents.mbpo import mbpo
from handful.agents.pets import pets_planner
from handful.agents.practising import PractisingAgent, PractisingState
from handful.data.dataset import Dataset
from handful.errors import InputError
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport
from handful.planning.base import AbstractPlanner
from handful.planning.mpc import MPC
from handful.planning.policy_guided import PolicyGuided
from handful.planning.problem import Problem
from handful.policies.base import AbstractPolicy
from handful.policies.stochastic import Value
from handful.policy_optimization.base import AbstractActorCritic, ActorCriticState
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import AbstractRisk, Mean
from handful.propagation.trajectory_sampling import TSInf
from handful.task import Task

AHEAD = 6  # [steps] that a plan looks ahead, where a value goes on from its end


class Worth(eqx.Module):
    """What a learned value says of an observation, in the units of the reward."""

    value: Value
    unit: Float[Array, ""]

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, ""]:
        return self.unit * self.value(obs)


class PolicyGuidedAgent(AbstractAgent):
    """Any agent that practises by an actor-critic x any planner: a shorter horizon for the same return.

    Plans are judged by the value's discount, since the value goes on where the plan ends.

    Source: [Lowrey19]; [Hansen22]. Deviates: policy and value are learned in imagined trials alone, by PPO.
    """

    practice: PractisingAgent
    planner: AbstractPlanner  # one that a policy can prompt
    propagator: AbstractPropagator
    risk: AbstractRisk = eqx.field(default_factory=Mean)

    def __check_init__(self) -> None:
        if not isinstance(self.practice.optimiser, AbstractActorCritic):
            raise InputError(
                "the end of a plan is judged by a learned value, so the policy must be learned by an actor-critic such "
                f"as PPO or TRPO; got {type(self.practice.optimiser).__name__}"
            )

    def init(self, key: PRNGKeyArray, task: Task) -> PractisingState:
        return self.practice.init(key, task)

    def explorer(self, key: PRNGKeyArray, task: Task) -> AbstractPolicy:
        return self.practice.explorer(key, task)

    def fit(
        self, key: PRNGKeyArray, task: Task, state: PractisingState, data: Dataset
    ) -> tuple[PractisingState, FitReport]:
        return self.practice.fit(key, task, state, data)

    def model(self, state: PractisingState) -> AbstractDynamics:
        return self.practice.model(state)

    def policy(self, task: Task, state: PractisingState) -> MPC:
        optimiser, learned = self.practice.optimiser, state.policy
        assert isinstance(optimiser, AbstractActorCritic)
        assert isinstance(learned, ActorCriticState)
        unit = learned.rewards.unit if optimiser.scale_rewards else jnp.ones(())
        problem = Problem(
            task,
            self.model(state),
            self.propagator,
            self.risk,
            tail=Worth(learned.value, unit),
            discount=optimiser.advantages.discount,
        )
        return MPC(PolicyGuided(self.planner, optimiser.policy(learned)), problem)


def pets_policy(
    task: str = "cartpole-swingup", *, learner: AbstractLearner | None = None, horizon: int = AHEAD, particles: int = 5
) -> PolicyGuidedAgent:
    """Our default of PETS, its horizon cut, with MBPO's policy and value."""
    return PolicyGuidedAgent(mbpo(task, learner=learner), pets_planner(horizon=horizon), TSInf(particles))
