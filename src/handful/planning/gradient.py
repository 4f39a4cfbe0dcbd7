"""Gradient ascent on the plan, through the belief."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, check_finite, check_within, real
from handful.planning.base import AbstractPlanner, Info, check_sizes, elites_of, middle, moved_on
from handful.planning.noise import coloured
from handful.planning.problem import Problem
from handful.task import Task

# Added to the root of Adam's second moment. The usual 1e-8 is a gradient like any other where rewards have a small
# unit; this is the least whose square, times the weight of one step, float32 still resolves.
LEAST_GRADIENT = 1e-17


class GradientState(eqx.Module):
    """The plan, and the plans under ascent."""

    best: Float[Array, "h a"]  # the best of all starts and itself, at the last evaluation
    plans: Float[Array, "s h a"]
    safe: Float[Array, "s h a"]  # the last plan of each start with finite value and gradient
    pace: Float[Array, "s"]  # factor of the learning rate, halved whenever a start is reset to `safe`
    adam: Any  # of each start
    fresh: Bool[Array, ""]  # at the beginning of a control step, when starts are drawn


class GradientPlanner(AbstractPlanner):
    """Adam on several plans at once, along the gradient of their values.

    At each control step the first start is the current plan, the others are that plan with coloured noise. In each
    iteration all are evaluated in the same worlds and with the same noise, held fixed under differentiation, take one
    step of Adam, and are clipped to the action limits. The plan to follow is the best of those evaluated, so the last
    step of a start counts only if it is evaluated. A start whose value or gradient is not finite is reset to its last
    finite plan, and continues with half the learning rate.

    The problem should be differentiable: for rewards with jumps or systems with contacts the gradient is of little
    use, and sampling planners do better.

    Source: [Kingma15] for the steps; [Deisenroth11] for gradients through a belief, there of a policy. Deviates: an
    open-loop plan; several starts; steps do not depend on the unit of the reward.
    """

    horizon: int = eqx.field(static=True, default=25)
    starts: int = eqx.field(static=True, default=4)
    iterations: int = eqx.field(static=True, default=40)
    learning_rate: Real = real(0.1)  # [half-ranges] about the change of an action in one step
    std: Real = real(0.5)  # [half-ranges] of the noise of the other starts
    colour: Real = real(2.0)  # 0 white, 1 pink, 2 red

    def __check_init__(self) -> None:
        if self.starts < 1:
            raise InputError(f"a gradient planner needs at least one start, got {self.starts}")
        check_sizes(self, self.starts)
        for name in ("learning_rate", "std", "colour"):
            check_within(self, name, 0.0)
        check_finite(self, "learning_rate", "std", "colour")

    def init(self, problem: Problem) -> GradientState:
        return self._started(middle(problem.task, self.horizon))

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: GradientState
    ) -> tuple[GradientState, Info]:
        start_key, world_key = jax.random.split(key)
        state_now = self._with_starts(start_key, problem.task, state)
        values, gradients = _values_and_gradients(world_key, problem, obs, state_now.plans)
        candidates = jnp.concatenate([state_now.best[None], state_now.plans])
        all_values = jnp.concatenate([problem.evaluate(world_key, obs, state_now.best[None]), values])
        elites, finite, info = elites_of(candidates, all_values, 1)
        moved = self._moved(problem.task, state_now, gradients, jnp.isfinite(values))
        moved = eqx.tree_at(lambda s: s.best, moved, elites[0])
        return jax.tree.map(lambda new, old: jnp.where(finite[0], new, old), moved, state), info

    def plan(self, state: GradientState) -> Float[Array, "h a"]:
        return state.best

    def shift(self, problem: Problem, state: GradientState) -> GradientState:
        return self._started(moved_on(state.best, state.best[-1]))

    def _started(self, plan: Float[Array, "h a"]) -> GradientState:
        plans = jnp.broadcast_to(plan, (self.starts, *plan.shape))
        return GradientState(
            plan, plans, plans, jnp.ones(self.starts, plan.dtype), _adam_state(plans), jnp.asarray(True)
        )

    def _with_starts(self, key: PRNGKeyArray, task: Task, state: GradientState) -> GradientState:
        """The state, with its starts drawn at the beginning of a control step."""
        noise = coloured(key, (self.starts, self.horizon, task.action_size), self.colour).at[0].set(0.0)
        drawn = jnp.clip(state.best + self.std * _half_range(task) * noise, task.low, task.high)
        plans = jnp.where(state.fresh, drawn, state.plans)
        return dataclasses.replace(state, plans=plans, fresh=jnp.asarray(False))

    def _moved(
        self, task: Task, state: GradientState, gradients: Float[Array, "s h a"], finite: Bool[Array, "s"]
    ) -> GradientState:
        """All starts after one step of Adam; those that are not finite are reset."""
        scaled = gradients * _half_range(task)
        valid = finite & jnp.isfinite(scaled**2).all((1, 2))
        where = jax.vmap(jnp.where)
        direction, adam = jax.vmap(_adam().update)(where(valid, scaled, 0.0 * state.plans), state.adam)
        stepped = state.plans + self.learning_rate * state.pace[:, None, None] * _half_range(task) * direction
        return dataclasses.replace(
            state,
            plans=where(valid, jnp.clip(stepped, task.low, task.high), state.safe),
            safe=where(valid, state.plans, state.safe),
            pace=where(valid, state.pace, state.pace / 2),
            adam=jax.tree.map(lambda new, old: where(valid, new, old), adam, _adam_state(state.plans)),
        )


def _adam() -> optax.GradientTransformation:
    return optax.scale_by_adam(eps=LEAST_GRADIENT)


def _adam_state(plans: Float[Array, "s h a"]) -> Any:
    """The initial state of Adam for each start."""
    return jax.vmap(_adam().init)(plans)


def _half_range(task: Task) -> Float[Array, "a"]:
    return (task.high - task.low) / 2


def _values_and_gradients(
    key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], plans: Float[Array, "s h a"]
) -> tuple[Float[Array, "s"], Float[Array, "s h a"]]:
    """The value of each plan, and its gradient: that of the sum, since values are independent of other plans.

    On one device: distributed starts would need a derivative of a gather.
    """
    alone = dataclasses.replace(problem, mesh=None)

    def total(plans: Float[Array, "s h a"]) -> tuple[Float[Array, ""], Float[Array, "s"]]:
        values = alone.evaluate(key, obs, plans)
        return values.sum(), values

    gradients, values = jax.grad(total, has_aux=True)(plans)
    return values, gradients
