"""Your own planner: `handful train point-mass --planner examples/3_own_planner.py:HillClimbing`.

A planner has a state, improves it by asking the problem for the values of candidates, and reads a plan off it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful import LinearLearner, MPCAgent, PointMass, TSInf, learn
from handful.fields import real
from handful.planning.base import AbstractPlanner, Info, middle, moved_on
from handful.planning.problem import Problem


class Climb(eqx.Module):
    """The plan found so far."""

    plan: Float[Array, "h a"]


class HillClimbing(AbstractPlanner):
    """Tries random changes of a plan, and takes the best of them if it is better than the plan."""

    horizon: int = eqx.field(static=True, default=15)
    candidates: int = eqx.field(static=True, default=60)
    iterations: int = eqx.field(static=True, default=4)
    std: Float[Array, ""] = real(0.3)  # [half-ranges] of the changes

    def init(self, problem: Problem) -> Climb:
        return Climb(middle(problem.task, self.horizon))

    def improve(self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: Climb) -> tuple[Climb, Info]:
        change_key, world_key = jax.random.split(key)
        task = problem.task
        noise = jax.random.normal(change_key, (self.candidates, *state.plan.shape)).at[0].set(0.0)  # the plan itself
        plans = jnp.clip(state.plan + self.std * (task.high - task.low) / 2 * noise, task.low, task.high)
        values = problem.evaluate(world_key, obs, plans)  # minus infinity for what must not be chosen
        best = jnp.argmax(values)
        return Climb(plans[best]), Info(values[best], values[best], jnp.isfinite(values).mean())

    def plan(self, state: Climb) -> Float[Array, "h a"]:
        return state.plan

    def shift(self, problem: Problem, state: Climb) -> Climb:
        return Climb(moved_on(state.plan, state.plan[-1]))


def main(trials: int = 3) -> None:
    """Learn the point mass with it, and print the returns."""
    learned = learn(PointMass(), MPCAgent(LinearLearner(), HillClimbing(), TSInf(5)), trials=trials)
    print("returns, the random trial first:", [round(each, 1) for each in learned.returns])


if __name__ == "__main__":
    main()
