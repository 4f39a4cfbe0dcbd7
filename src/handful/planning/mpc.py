"""Model predictive control: plan, apply the first action, plan again."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.devices import everywhere
from handful.errors import InputError
from handful.planning.base import AbstractPlanner, check_state, optimise, planned
from handful.planning.problem import Problem
from handful.policies.base import AbstractPolicy


class Forecast(eqx.Module):
    """The prediction for the plan whose first action was applied."""

    planned_return: Float[Array, ""]  # over the planning horizon, mean over particles
    planned_std: Float[Array, ""]  # of the return, over particles
    plan: Float[Array, "h a"]


class MPCCarry(eqx.Module):
    """The memory of the controller between two steps."""

    search: Any  # the state of the planner for the next step
    forecast: Forecast


class MPC(AbstractPolicy):
    """A planner as a policy. Its carry is the state of the planner, which `init` resets at the start of a trial.

    Raises `InputError` if the horizon exceeds a trial, and, when it is traced, if a method of the planner returns a
    plan or a state of the wrong shape.
    """

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
        carry = MPCCarry(search, Forecast(jnp.zeros(()), jnp.zeros(()), planned(self.planner, self.problem, search)))
        # a carry comes back on the mesh: one that began elsewhere would compile the second call again
        return everywhere(self.problem.mesh, carry)

    def __call__(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: MPCCarry
    ) -> tuple[Float[Array, "a"], MPCCarry]:
        self.problem.task.check(obs=obs)
        plan_key, forecast_key = jax.random.split(key)
        search, _ = optimise(self.planner, plan_key, self.problem, obs, carry.search)
        plan = planned(self.planner, self.problem, search)
        returns = self.problem.particle_returns(forecast_key, obs, plan)
        forecast = Forecast(returns.mean(), returns.std(), plan)
        following = self.planner.shift(self.problem, search)
        check_state(self.planner, "shift", following, carry.search)
        return plan[0], MPCCarry(following, forecast)

    def info(self, carry: MPCCarry) -> dict[str, Array]:
        """The return predicted for the plan, its std over particles, and the plan itself."""
        forecast = carry.forecast
        return {
            "planned_return": forecast.planned_return,
            "planned_std": forecast.planned_std,
            "plan": forecast.plan,
        }
