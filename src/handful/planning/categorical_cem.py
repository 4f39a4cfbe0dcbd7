"""The cross-entropy method over categories."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, real
from handful.planning.base import AbstractPlanner, Info, check_sizes, elites_of, moved_on
from handful.planning.problem import Problem
from handful.policies.simple import chosen


class CategoricalCEMState(eqx.Module):
    """A distribution over categories for each step, and the plan followed."""

    probabilities: Float[Array, "h a"]
    best: Float[Array, "h a"]  # one-hot


class CategoricalCEM(AbstractPlanner):
    """Sample plans from a categorical distribution for each step, refit it to the best, repeat; follow the best plan.

    `new = smoothing * old + (1 - smoothing) * frequencies among the elites`. A share `exploring` of all draws has
    categories alike, so that what has become unlikely is still tried. The plan followed so far and the plan of the
    likeliest categories are candidates too. A control step later both are moved on by a step, and a share `widening`
    of the probability goes back to categories alike.

    Raises `InputError` where the actions of the task are no categories.

    Source: [Rubinstein99]. Deviates: the best candidate of the last iteration is followed, since steps are drawn
    independently, and what is likeliest step by step may be a plan that nobody has tried; candidates with a non-finite
    return are never elites; the share of uniform draws.
    """

    horizon: int = eqx.field(static=True, default=40)  # far enough to see a pole driven off its track
    candidates: int = eqx.field(static=True, default=100)
    elites: int = eqx.field(static=True, default=10)
    iterations: int = eqx.field(static=True, default=4)
    smoothing: Real = real(0.1)
    exploring: Real = real(0.2)
    widening: Real = real(0.5)

    def __check_init__(self) -> None:
        check_sizes(self, self.candidates - 2, self.elites)

    def init(self, problem: Problem) -> CategoricalCEMState:
        if not problem.task.categorical:
            raise InputError("a planner over categories needs a task with discrete actions; take CEM or ICEM instead")
        size = problem.task.action_size
        even = jnp.full((self.horizon, size), 1 / size, float)
        return CategoricalCEMState(even, chosen(even))

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: CategoricalCEMState
    ) -> tuple[CategoricalCEMState, Info]:
        plan_key, world_key = jax.random.split(key)
        noise = jax.random.gumbel(plan_key, (self.candidates - 2, *state.best.shape))
        tried = jnp.stack([state.best, chosen(state.probabilities)])  # first, so that among equals they win
        plans = jnp.concatenate([tried, chosen(jnp.log(_mixed(state.probabilities, self.exploring)) + noise)])
        elites, finite, info = elites_of(plans, problem.evaluate(world_key, obs, plans), self.elites)
        counted = jnp.where(finite[:, None, None], elites, 0.0)
        frequencies = counted.sum(0) / jnp.maximum(finite.sum(), 1)
        keep = jnp.where(finite.any(), self.smoothing, 1.0)
        best = jnp.where(finite[0], elites[0], state.best)
        return CategoricalCEMState(keep * state.probabilities + (1 - keep) * frequencies, best), info

    def plan(self, state: CategoricalCEMState) -> Float[Array, "h a"]:
        return state.best

    def shift(self, problem: Problem, state: CategoricalCEMState) -> CategoricalCEMState:
        widened = _mixed(moved_on(state.probabilities, self.init(problem).probabilities[-1]), self.widening)
        return CategoricalCEMState(widened, moved_on(state.best, state.best[-1]))


def _mixed(probabilities: Float[Array, "h a"], share: Float[Array, ""]) -> Float[Array, "h a"]:
    """The distribution that with probability `share` has categories alike."""
    return (1 - share) * probabilities + share / probabilities.shape[1]
