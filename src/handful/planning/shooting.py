"""Random shooting: evaluate random plans and keep the best."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.planning.base import AbstractPlanner, Info, check_sizes, elites_of, middle
from handful.planning.problem import Problem


class ShootingState(eqx.Module):
    """The best plan so far."""

    best: Float[Array, "h a"]
    value: Float[Array, ""]  # of that plan, when it was found


class RandomShooting(AbstractPlanner):
    """Samples plans uniformly within the limits and follows the best. Nothing is carried to the next control step.

    Source: [Nagabandi18] section 4.2. Deviates: no.
    """

    horizon: int = eqx.field(static=True, default=25)
    candidates: int = eqx.field(static=True, default=2000)
    iterations: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_sizes(self, self.candidates)

    def init(self, problem: Problem) -> ShootingState:
        return ShootingState(middle(problem.task, self.horizon), jnp.full((), -jnp.inf, float))

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: ShootingState
    ) -> tuple[ShootingState, Info]:
        plan_key, world_key = jax.random.split(key)
        task = problem.task
        shape = (self.candidates, self.horizon, task.action_size)
        plans = jax.random.uniform(plan_key, shape, minval=task.low, maxval=task.high)
        elites, _, info = elites_of(plans, problem.evaluate(world_key, obs, plans), 1)
        better = info.best > state.value
        return ShootingState(jnp.where(better, elites[0], state.best), jnp.where(better, info.best, state.value)), info

    def plan(self, state: ShootingState) -> Float[Array, "h a"]:
        return state.best

    def shift(self, problem: Problem, state: ShootingState) -> ShootingState:
        return self.init(problem)
