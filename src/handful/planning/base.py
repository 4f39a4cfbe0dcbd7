"""The planner: `init`, `improve`, `plan`, `shift`; and the one loop that drives all of them."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.errors import InputError
from handful.planning.problem import Problem
from handful.task import Task


class Info(eqx.Module):
    """What one iteration saw."""

    best: Float[Array, ""]  # the highest return among the candidates
    elite: Float[Array, ""]  # the mean return of the elites
    finite: Float[Array, ""]  # the share of candidates whose return is finite


class AbstractPlanner(eqx.Module):
    """Improves a plan for `horizon` steps by asking a problem what candidates are worth.

    The state of a planner is a search distribution; `plan` reads the plan off it. Returns of minus infinity (see
    `Problem.evaluate`) must never shape it.
    """

    horizon: eqx.AbstractVar[int]
    iterations: eqx.AbstractVar[int]

    @abstractmethod
    def init(self, problem: Problem) -> Any:
        """The search distribution before anything is known."""

    @abstractmethod
    def improve(self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: Any) -> tuple[Any, Info]:
        """One iteration."""

    @abstractmethod
    def plan(self, state: Any) -> Float[Array, "h a"]:
        """The plan to follow."""

    @abstractmethod
    def shift(self, problem: Problem, state: Any) -> Any:
        """The state for the next control step: what was planned, moved one step forward."""

    def stages(self) -> tuple[tuple["AbstractPlanner", int], ...]:
        """Planners to iterate in turn, with the iterations of each; more than one where shapes change on the way."""
        return ((self, self.iterations),)


def optimise(
    planner: AbstractPlanner, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: Any
) -> tuple[Any, Info]:
    """All iterations of one control step. `Info` is stacked over iterations."""
    infos = []
    for stage, iterations in planner.stages():
        key, stage_key = jax.random.split(key)

        def iterate(state: Any, key: PRNGKeyArray, stage: AbstractPlanner = stage) -> tuple[Any, Info]:
            return stage.improve(key, problem, obs, state)

        state, info = jax.lax.scan(iterate, state, jax.random.split(stage_key, iterations))
        infos.append(info)
    return state, jax.tree.map(lambda *values: jnp.concatenate(values), *infos)


def middle(task: Task, horizon: int) -> Float[Array, "h a"]:
    """The plan that stays in the middle of the action limits. Raises `InputError` where categories have no middle."""
    if task.categorical:
        raise InputError("this planner searches continuous actions, this task's are categories: take CategoricalCEM")
    return jnp.broadcast_to((task.low + task.high) / 2, (horizon, task.action_size))


def moved_on(plan: Float[Array, "h a"], last: Float[Array, "a"]) -> Float[Array, "h a"]:
    """The plan one step later, with `last` as its new final action."""
    return jnp.concatenate([plan[1:], last[None]])


def elites_of(
    plans: Float[Array, "n h a"], returns: Float[Array, "n"], count: int
) -> tuple[Float[Array, "e h a"], Bool[Array, "e"], Info]:
    """The `count` best plans, which of them are finite, and what was seen."""
    top, index = jax.lax.top_k(returns, count)
    finite = jnp.isfinite(top)
    elite = jnp.sum(jnp.where(finite, top, 0.0)) / jnp.maximum(finite.sum(), 1)
    return plans[index], finite, Info(top[0], elite, jnp.isfinite(returns).mean())


def moments(plans: Float[Array, "e h a"], counted: Bool[Array, "e"]) -> tuple[Float[Array, "h a"], Float[Array, "h a"]]:
    """Mean and biased variance of the plans that count."""
    weight = (counted / jnp.maximum(counted.sum(), 1))[:, None, None]
    mean = jnp.sum(jnp.where(weight > 0, plans * weight, 0.0), axis=0)
    return mean, jnp.sum(jnp.where(weight > 0, weight * (plans - mean) ** 2, 0.0), axis=0)


def check_sizes(planner: AbstractPlanner, candidates: int, elites: int = 1) -> None:
    """Raises `InputError` where a planner's sizes cannot work together."""
    if planner.horizon < 1 or planner.iterations < 1:
        raise InputError(
            f"horizon and iterations must be at least 1, got horizon={planner.horizon}, iterations={planner.iterations}"
        )
    if not 1 <= elites <= candidates:
        raise InputError(f"elites must be between 1 and the {candidates} candidates, got {elites}")
