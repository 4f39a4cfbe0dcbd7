"""MPPI: model predictive path integral control."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.fields import Real, check_finite, check_within, real
from handful.planning.base import AbstractCentredPlanner, Info, a_tenth, check_sizes, elites_of, middle, moved_on
from handful.planning.noise import coloured
from handful.planning.problem import Problem
from handful.task import Task


class MPPIState(eqx.Module):
    """The plan to which noise is added."""

    mean: Float[Array, "h a"]


class MPPI(AbstractCentredPlanner):
    """Averages noisy plans with the weights `exp(value / temperature)`.

    Values are first divided by their std over the candidates, so that one temperature suits all tasks. With
    `control_cost` the exponent of a candidate `u` is less by `control_cost sum_t u_t . mean_t / std^2`, in half-ranges
    from the middle of the limits: 1 is the published term.

    Source: [Williams17]. Deviates: standardised values, optional colour, clipped actions; no control cost by default.
    """

    horizon: int = eqx.field(static=True, default=25)
    candidates: int = eqx.field(static=True, default=100)
    iterations: int = eqx.field(static=True, default=3)
    temperature: Real = real(0.2)
    std: Real = real(0.5)  # [half-ranges] of the samples
    colour: Real = real(2.0)  # 0 white, 1 pink, 2 red
    control_cost: Real = real(0.0)  # weight of the control-cost term

    def __check_init__(self) -> None:
        check_sizes(self, self.candidates)
        check_within(self, "temperature", 0.0, least_excluded=True)
        for name in ("std", "colour", "control_cost"):
            check_within(self, name, 0.0)
        check_finite(self, "temperature", "std", "colour", "control_cost")

    def init(self, problem: Problem) -> MPPIState:
        return MPPIState(middle(problem.task, self.horizon))

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: MPPIState
    ) -> tuple[MPPIState, Info]:
        plan_key, world_key = jax.random.split(key)
        task = problem.task
        noise = coloured(plan_key, (self.candidates - 1, self.horizon, task.action_size), self.colour)
        plans = jnp.clip(state.mean + self.std * (task.high - task.low) / 2 * noise, task.low, task.high)
        plans = jnp.concatenate([plans, state.mean[None]])
        values = problem.evaluate(world_key, obs, plans)
        _, _, info = elites_of(plans, values, a_tenth(self.candidates))
        finite = jnp.isfinite(values)
        spread = jnp.std(values, where=finite)
        score = (values - info.best) / (self.temperature * jnp.where(spread > 0, spread, 1.0))
        score = score - self._control_cost(task, plans, state.mean)
        weight = jnp.where(finite, jnp.exp(score - jnp.max(score, where=finite, initial=-jnp.inf)), 0.0)
        mean = jnp.einsum("n,nha->ha", weight, plans) / jnp.maximum(weight.sum(), 1.0)
        return MPPIState(jnp.where(finite.any(), mean, state.mean)), info

    def plan(self, state: MPPIState) -> Float[Array, "h a"]:
        return state.mean

    def shift(self, problem: Problem, state: MPPIState) -> MPPIState:
        return MPPIState(moved_on(state.mean, state.mean[-1]))

    def _control_cost(self, task: Task, plans: Float[Array, "n h a"], mean: Float[Array, "h a"]) -> Float[Array, "n"]:
        std = self.std * (task.high - task.low) / 2
        middle = (task.high + task.low) / 2
        by_std = lambda values: (values - middle) / jnp.where(std > 0, std, 1.0)
        return self.control_cost * jnp.einsum("nha,ha->n", by_std(plans), by_std(mean))
