"""Model predictive control: plan, do the first action, plan again."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.planning.base import AbstractPlanner, optimise
from handful.planning.problem import Problem
from handful.policies.base import AbstractPolicy


class Forecast(eqx.Module):
    """What the controller expected of the plan whose first action it took."""

    planned_return: Float[Array, ""]  # over the planning horizon, mean over particles
    planned_std: Float[Array, ""]  # of the return, over particles: how sure it was
    plan: Float[Array, "h a"]


class MPCCarry(eqx.Module):
    """What a controller remembers from one step to the next."""

    search: Any  # the planner's state, ready for the next step
    forecast: Forecast


def forecast_of(carry: Any) -> Forecast | None:
    """What to record of a controller's carry: nothing where it does not plan."""
    return carry.forecast if isinstance(carry, MPCCarry) else None


class MPC(AbstractPolicy):
    """A planner as a policy. Its carry is the planner's state: a trial starts afresh with `init` and nothing else."""

    planner: AbstractPlanner
    problem: Problem

    def __check_init__(self) -> None:
        if self.planner.horizon > self.problem.task.horizon:
            raise InputError(
                f"the planning horizon must be at most the {self.problem.task.horizon} steps of a trial, "
                f"got {self.planner.horizon}"
            )

    def init(self) -> MPCCarry:
        search = self.planner.init(self.problem)
        nothing = Forecast(jnp.zeros(()), jnp.zeros(()), self.planner.plan(search))
        return MPCCarry(search, nothing)

    def __call__(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: MPCCarry
    ) -> tuple[Float[Array, "a"], MPCCarry]:
        self.problem.task.check(obs=obs)
        plan_key, forecast_key = jax.random.split(key)
        search, _ = optimise(self.planner, plan_key, self.problem, obs, carry.search)
        plan = self.planner.plan(search)
        returns = self.problem.particle_returns(forecast_key, obs, plan)
        forecast = Forecast(returns.mean(), returns.std(), plan)
        return plan[0], MPCCarry(self.planner.shift(self.problem, search), forecast)
