"""A planner that a policy prompts: its search begins at the better of its own plan and what the policy would do."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.planning.base import AbstractPlanner, Info
from handful.planning.cem import CEM
from handful.planning.icem import ICEM
from handful.planning.mppi import MPPI
from handful.planning.problem import Problem
from handful.policies.base import AbstractPolicy
from handful.propagation.distribution_sampling import Expectation


class PolicyGuided(AbstractPlanner):
    """Before each iteration, the policy's plan takes the place of the search's mean where it is worth more.

    The policy's plan is what it would do along the belief's mean. Both plans meet the same worlds and the same noise.
    Raises `InputError` where the planner's search has no mean.

    Source: policy and value in a sampling planner as in [Hansen22] section 3. Deviates: one plan of the policy's,
    compared with the mean, instead of many among the candidates.
    """

    planner: AbstractPlanner  # whose search has a mean
    policy: AbstractPolicy
    horizon: int = eqx.field(static=True)
    iterations: int = eqx.field(static=True)

    def __init__(self, planner: AbstractPlanner, policy: AbstractPolicy) -> None:
        if not isinstance(planner, CEM | ICEM | MPPI):
            raise InputError(f"a policy can prompt CEM, ICEM or MPPI, got {type(planner).__name__}")
        self.planner, self.policy = planner, policy
        self.horizon, self.iterations = planner.horizon, planner.iterations

    def stages(self) -> tuple[tuple[AbstractPlanner, int], ...]:
        return tuple((PolicyGuided(stage, self.policy), times) for stage, times in self.planner.stages())

    def init(self, problem: Problem) -> Any:
        return self.planner.init(problem)

    def improve(self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: Any) -> tuple[Any, Info]:
        prompt_key, world_key, search_key = jax.random.split(key, 3)
        asked = Expectation()(prompt_key, problem.model, self.policy, obs, self.horizon).actions[0]
        prompt = jnp.clip(asked, problem.task.low, problem.task.high)
        own, prompted = problem.evaluate(world_key, obs, jnp.stack([state.mean, prompt]))
        mean = jnp.where(prompted > own, prompt, state.mean)
        return self.planner.improve(search_key, problem, obs, eqx.tree_at(lambda s: s.mean, state, mean))

    def plan(self, state: Any) -> Float[Array, "h a"]:
        return self.planner.plan(state)

    def shift(self, problem: Problem, state: Any) -> Any:
        return self.planner.shift(problem, state)
