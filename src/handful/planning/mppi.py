"""MPPI: model predictive path integral control."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.fields import Real, real
from handful.planning.base import AbstractPlanner, Info, check_sizes, elites_of, middle, moved_on
from handful.planning.noise import coloured
from handful.planning.problem import Problem


class MPPIState(eqx.Module):
    """The plan that noise is added to."""

    mean: Float[Array, "h a"]


class MPPI(AbstractPlanner):
    """Average noisy plans, each weighed by `exp(return / temperature)`.

    Returns are divided by their std over the candidates first, so that one temperature serves all tasks.

    Source: [Williams17]. Deviates: the standardised returns, the optional colour, clipped actions.
    """

    horizon: int = eqx.field(static=True, default=25)
    candidates: int = eqx.field(static=True, default=100)
    iterations: int = eqx.field(static=True, default=3)
    temperature: Real = real(0.2)
    std: Real = real(0.5)  # of the samples, in half-ranges
    colour: Real = real(2.0)  # 0 white, 1 pink, 2 red

    def __check_init__(self) -> None:
        check_sizes(self, self.candidates)

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
        returns = problem.evaluate(world_key, obs, plans)
        _, _, info = elites_of(plans, returns, max(1, self.candidates // 10))
        finite = jnp.isfinite(returns)
        spread = jnp.std(returns, where=finite)
        score = (returns - info.best) / (self.temperature * jnp.where(spread > 0, spread, 1.0))
        weight = jnp.where(finite, jnp.exp(score), 0.0)
        mean = jnp.einsum("n,nha->ha", weight, plans) / jnp.maximum(weight.sum(), 1.0)
        return MPPIState(jnp.where(finite.any(), mean, state.mean)), info

    def plan(self, state: MPPIState) -> Float[Array, "h a"]:
        return state.mean

    def shift(self, problem: Problem, state: MPPIState) -> MPPIState:
        return MPPIState(moved_on(state.mean, state.mean[-1]))
