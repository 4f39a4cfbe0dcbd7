"""PETS guided by a policy and a value, both learned inside the model."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.agents.base import AbstractTrialAgent, TrialState
from handful.agents.imagined_policy import ImaginedPolicyAgent, ImaginedPolicyState
from handful.agents.mbpo import make as make_mbpo
from handful.agents.mbpo import mbpo
from handful.agents.options.planning import GUIDED_HORIZON, PETSPolicy
from handful.agents.pets import pets_planner
from handful.agents.planners import planner_of, propagator_of, risk_of
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


class TerminalValue(eqx.Module):
    """A learned value of an observation, in the units of the reward."""

    value: Value
    unit: Float[Array, ""]

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, ""]:
        return self.unit * self.value(obs)


class PolicyGuidedAgent(AbstractTrialAgent):
    """An agent that learns a policy and a value inside its model, and a planner that both guide.

    The search starts from the policy's plan, and the value is added at the end of plans, so a shorter horizon gives the
    same return. Plans are ranked with the value's discount.

    Source: [Lowrey19]; [Hansen22]. Deviates: policy and value are learned in imagined trials alone, by PPO.
    """

    policy_agent: ImaginedPolicyAgent
    planner: AbstractPlanner  # one that takes proposals of a policy
    propagator: AbstractPropagator
    risk: AbstractRisk = eqx.field(default_factory=Mean)
    num_steps: int | None = eqx.field(static=True, default=None)  # [steps] between fits in a trial; None: one a trial

    def __check_init__(self) -> None:
        if not isinstance(self.policy_agent.optimiser, AbstractActorCritic):
            raise InputError(
                "the end of a plan is rated by a learned value, so the policy must be learned by an actor-critic such "
                f"as PPO or TRPO; got {type(self.policy_agent.optimiser).__name__}"
            )

    def start(self, key: PRNGKeyArray, task: Task) -> ImaginedPolicyState:
        return self.policy_agent.start(key, task)

    @property
    def first_colour(self) -> Real | None:
        return self.policy_agent.first_colour

    def fit(
        self, key: PRNGKeyArray, task: Task, learned: ImaginedPolicyState, data: Dataset
    ) -> tuple[ImaginedPolicyState, FitReport]:
        return self.policy_agent.fit(key, task, learned, data)

    def model(self, state: TrialState) -> AbstractDynamics:
        return self.policy_agent.model(state)

    def policy(self, task: Task, state: TrialState) -> MPC:
        optimiser, learned = self.policy_agent.optimiser, state.learned.policy
        assert isinstance(optimiser, AbstractActorCritic)
        assert isinstance(learned, ActorCriticState)
        unit = learned.reward_scale.unit if optimiser.scale_rewards else jnp.ones(())
        problem = Problem(
            task,
            self.model(state),
            self.propagator,
            self.risk,
            terminal_value=TerminalValue(learned.value, unit),
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
    policy_agent = make_mbpo(options, env, info)
    return PolicyGuidedAgent(policy_agent, planner_of(options), propagator_of(options), risk_of(options))
