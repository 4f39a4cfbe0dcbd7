"""A planner whose search is guided by a policy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.planning.base import AbstractCentredPlanner, AbstractPlanner, Info
from handful.planning.problem import Problem
from handful.policies.base import AbstractPolicy
from handful.propagation.distribution_sampling import Expectation


class PolicyGuided(AbstractPlanner):
    """Before each iteration, the search is centred on the plan of the policy if its value is higher.

    The plan of the policy is the sequence of its actions along the mean of the belief. Both plans are evaluated in the
    same worlds and with the same noise. Raises `InputError` if the search of the planner is not centred on a plan.

    Source: policy and value in a sampling planner as in [Hansen22] section 3. Deviates: one plan of the policy,
    compared with the mean, instead of many among the candidates.
    """

    planner: AbstractCentredPlanner
    policy: AbstractPolicy
    horizon: int = eqx.field(static=True)
    iterations: int = eqx.field(static=True)

    def __init__(self, planner: AbstractPlanner, policy: AbstractPolicy) -> None:
        if not isinstance(planner, AbstractCentredPlanner):
            raise InputError(
                f"PolicyGuided needs an AbstractCentredPlanner, such as CEM, ICEM or MPPI, got {type(planner).__name__}"
            )
        self.planner, self.policy = planner, policy
        self.horizon, self.iterations = planner.horizon, planner.iterations

    def stages(self) -> tuple[tuple[AbstractPlanner, int], ...]:
        return tuple((PolicyGuided(stage, self.policy), times) for stage, times in self.planner.stages())

    def init(self, problem: Problem) -> Any:
        return self.planner.init(problem)

    def improve(self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: Any) -> tuple[Any, Info]:
        policy_key, world_key, search_key = jax.random.split(key, 3)
        actions = Expectation()(policy_key, problem.model, self.policy, obs, self.horizon).actions[0]
        proposal = jnp.clip(actions, problem.task.low, problem.task.high)
        centre = self.planner.centre(state)
        old, new = problem.evaluate(world_key, obs, jnp.stack([centre, proposal]))
        state = self.planner.centred(state, jnp.where(new > old, proposal, centre))
        return self.planner.improve(search_key, problem, obs, state)

    def plan(self, state: Any) -> Float[Array, "h a"]:
        return self.planner.plan(state)

    def shift(self, problem: Problem, state: Any) -> Any:
        return self.planner.shift(problem, state)
