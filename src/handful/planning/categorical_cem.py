"""The cross-entropy method for discrete actions."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, check_within, real
from handful.planning.base import AbstractPlanner, Info, a_tenth, check_sizes, elites_of, moved_on
from handful.planning.problem import Problem
from handful.policies.simple import chosen


class CategoricalCEMState(eqx.Module):
    """A distribution over categories for each step, and the plan."""

    probabilities: Float[Array, "h a"]
    best: Float[Array, "h a"]  # one-hot


class CategoricalCEM(AbstractPlanner):
    """Samples plans from a categorical distribution for each step, refits it to the best, and repeats.

    `new = smoothing * old + (1 - smoothing) * frequencies among the elites`. A fraction `exploring` of all draws is
    uniform, so that unlikely categories are still tried. The plan so far and the plan of the most likely categories are
    candidates too. At the next control step both are shifted by a step, and the distribution is mixed with a fraction
    `widening` of the uniform one.

    Raises `InputError` if the actions of the task are not categories.

    Source: [Rubinstein99]. Deviates: the plan is the best candidate of the last iteration, since steps are drawn
    independently and the most likely categories may form a plan that was never evaluated; candidates with a non-finite
    value are never elites; uniform draws.
    """

    horizon: int = eqx.field(static=True, default=40)  # long enough to predict that a cart-pole leaves its track
    candidates: int = eqx.field(static=True, default=100)
    elites: int | None = eqx.field(static=True, default=None)  # a tenth of the candidates by default
    iterations: int = eqx.field(static=True, default=4)
    smoothing: Real = real(0.1)
    exploring: Real = real(0.2)
    widening: Real = real(0.5)

    def __check_init__(self) -> None:
        check_sizes(self, self.candidates, self.elite_count, least=3, fresh=self.candidates - 2)
        for name in ("smoothing", "exploring", "widening"):
            check_within(self, name, 0.0, 1.0)

    @property
    def elite_count(self) -> int:
        return a_tenth(self.candidates) if self.elites is None else self.elites

    def init(self, problem: Problem) -> CategoricalCEMState:
        if not problem.task.categorical:
            raise InputError("CategoricalCEM needs a task with discrete actions; take CEM or ICEM instead")
        size = problem.task.action_size
        even = jnp.full((self.horizon, size), 1 / size, float)
        return CategoricalCEMState(even, chosen(even))

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: CategoricalCEMState
    ) -> tuple[CategoricalCEMState, Info]:
        plan_key, world_key = jax.random.split(key)
        noise = jax.random.gumbel(plan_key, (self.candidates - 2, *state.best.shape))
        tried = jnp.stack([state.best, chosen(state.probabilities)])  # first, so that they win ties
        plans = jnp.concatenate([tried, chosen(jnp.log(_mixed(state.probabilities, self.exploring)) + noise)])
        elites, finite, info = elites_of(plans, problem.evaluate(world_key, obs, plans), self.elite_count)
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


def _mixed(probabilities: Float[Array, "h a"], fraction: Float[Array, ""]) -> Float[Array, "h a"]:
    """The distribution mixed with a fraction of the uniform one."""
    return (1 - fraction) * probabilities + fraction / probabilities.shape[1]
