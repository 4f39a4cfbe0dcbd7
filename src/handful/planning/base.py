"""The planner: `init`, `improve`, `plan`, `shift`; and `optimise`, the loop that runs all of them."""

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
    """Statistics of one iteration."""

    best: Float[Array, ""]  # the highest value among the candidates
    elite: Float[Array, ""]  # the mean value of the elites
    finite: Float[Array, ""]  # the fraction of candidates whose value is finite


class AbstractPlanner(eqx.Module):
    """Improves a plan of `horizon` steps by evaluating candidates with a problem.

    The state of a planner is a search distribution, from which `plan` computes the plan. Candidates whose value is
    minus infinity (see `Problem.evaluate`) must not influence it.
    """

    horizon: eqx.AbstractVar[int]
    iterations: eqx.AbstractVar[int]

    @abstractmethod
    def init(self, problem: Problem) -> Any:
        """The search distribution at the start of a trial."""

    @abstractmethod
    def improve(self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: Any) -> tuple[Any, Info]:
        """One iteration."""

    @abstractmethod
    def plan(self, state: Any) -> Float[Array, "h a"]:
        """The plan to follow."""

    @abstractmethod
    def shift(self, problem: Problem, state: Any) -> Any:
        """The state at the next control step: the plan moved forward by one step."""

    def stages(self) -> tuple[tuple["AbstractPlanner", int], ...]:
        """Planners to run in turn, with the iterations of each; several if shapes change between iterations."""
        return ((self, self.iterations),)


class AbstractCentredPlanner(AbstractPlanner):
    """A planner whose search is centred on one plan, the field `mean` of its state.

    `PolicyGuided` can guide such a planner: it moves the centre to a plan that a policy proposes.
    """

    def centre(self, state: Any) -> Float[Array, "h a"]:
        """The plan that the search is centred on."""
        return state.mean

    def centred(self, state: Any, plan: Float[Array, "h a"]) -> Any:
        """The state with the search centred on another plan."""
        return eqx.tree_at(lambda state: state.mean, state, plan)


def optimise(
    planner: AbstractPlanner, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: Any
) -> tuple[Any, Info]:
    """All iterations of one control step. `Info` is stacked over iterations.

    Raises `InputError` if `improve` changes the structure or the shapes of the state.
    """
    infos = []
    for stage, iterations in planner.stages():
        key, stage_key = jax.random.split(key)

        def iterate(state: Any, key: PRNGKeyArray, stage: AbstractPlanner = stage) -> tuple[Any, Info]:
            new, info = stage.improve(key, problem, obs, state)
            check_state(stage, "improve", new, state)
            return new, info

        state, info = jax.lax.scan(iterate, state, jax.random.split(stage_key, iterations))
        infos.append(info)
    return state, jax.tree.map(lambda *values: jnp.concatenate(values), *infos)


def planned(planner: AbstractPlanner, problem: Problem, state: Any) -> Float[Array, "h a"]:
    """`planner.plan(state)`. Raises `InputError` unless its shape is (horizon, actions)."""
    plan = planner.plan(state)
    expected = (planner.horizon, problem.task.action_size)
    if jnp.shape(plan) != expected:
        raise InputError(
            f"{type(planner).__name__}.plan must return the shape (horizon, actions) = {expected}, "
            f"got {jnp.shape(plan)}"
        )
    return plan


def check_state(planner: AbstractPlanner, method: str, new: Any, old: Any) -> None:
    """Raises `InputError` if a method of a planner returned a state of another structure or other shapes."""
    shapes = [[jnp.shape(leaf) for leaf in jax.tree.leaves(state)] for state in (new, old)]
    if jax.tree.structure(new) != jax.tree.structure(old) or shapes[0] != shapes[1]:
        raise InputError(
            f"{type(planner).__name__}.{method} must return a state with the structure and shapes of that from init, "
            f"{shapes[1]}, got {shapes[0]}"
        )


def middle(task: Task, horizon: int) -> Float[Array, "h a"]:
    """The plan that stays in the middle of the action limits. Raises `InputError` for categories."""
    if task.categorical:
        raise InputError(
            "this planner needs continuous actions, and those of the task are categories; take CategoricalCEM"
        )
    return jnp.broadcast_to((task.low + task.high) / 2, (horizon, task.action_size))


def moved_on(plan: Float[Array, "h a"], last: Float[Array, "a"]) -> Float[Array, "h a"]:
    """The plan one step later, with `last` as its new final action."""
    return jnp.concatenate([plan[1:], last[None]])


def elites_of(
    plans: Float[Array, "n h a"], values: Float[Array, "n"], count: int
) -> tuple[Float[Array, "e h a"], Bool[Array, "e"], Info]:
    """The `count` best plans, which of them have a finite value, and statistics."""
    top, index = jax.lax.top_k(values, count)
    finite = jnp.isfinite(top)
    elite = jnp.sum(jnp.where(finite, top, 0.0)) / jnp.maximum(finite.sum(), 1)
    return plans[index], finite, Info(top[0], elite, jnp.isfinite(values).mean())


def mean_and_variance(
    plans: Float[Array, "e h a"], counted: Bool[Array, "e"]
) -> tuple[Float[Array, "h a"], Float[Array, "h a"]]:
    """Mean and biased variance of the plans that count."""
    weight = (counted / jnp.maximum(counted.sum(), 1))[:, None, None]
    mean = jnp.sum(jnp.where(weight > 0, plans * weight, 0.0), axis=0)
    return mean, jnp.sum(jnp.where(weight > 0, weight * (plans - mean) ** 2, 0.0), axis=0)


def a_tenth(candidates: int) -> int:
    """The default number of elites."""
    return max(1, candidates // 10)


def check_sizes(
    planner: AbstractPlanner, candidates: int, elites: int = 1, *, least: int = 1, fresh: int | None = None
) -> None:
    """Raises `InputError` if the sizes of a planner do not fit each other.

    `least`: candidates that are needed. `fresh`: those among which the elites must be, if not all.
    """
    name = type(planner).__name__
    for size, value in (("horizon", planner.horizon), ("iterations", planner.iterations)):
        if value < 1:
            raise InputError(f"{name} needs {size} of at least 1, got {value}")
    if candidates < least:
        raise InputError(f"{name} needs at least {least} candidates, got {candidates}")
    available = candidates if fresh is None else fresh
    if not 1 <= elites <= available:
        drawn = "" if fresh is None else f" of {candidates} that are drawn afresh"
        raise InputError(f"{name} needs elites from 1 to the {available} candidates{drawn}, got {elites}")
