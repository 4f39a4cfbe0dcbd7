"""Gradient ascent on the plan itself, through the belief."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, real
from handful.planning.base import AbstractPlanner, Info, check_sizes, elites_of, middle, moved_on
from handful.planning.noise import coloured
from handful.planning.problem import Problem
from handful.task import Task


class GradientState(eqx.Module):
    """The plan followed, and the plans that climb."""

    best: Float[Array, "h a"]  # the best of all starts and itself, when it was last asked
    plans: Float[Array, "s h a"]
    safe: Float[Array, "s h a"]  # each start's last plan whose return and gradient were finite
    pace: Float[Array, "s"]  # share of the rate, halved whenever a start is put back
    adam: Any  # of each start
    fresh: Bool[Array, ""]  # a control step begins: the starts are to be drawn


class GradientPlanner(AbstractPlanner):
    """Adam on several plans at once, along the gradient of what the problem says they are worth.

    At each control step the first start is the plan at hand, the others are that plan with coloured noise. In each
    iteration all meet the same worlds and noise, held fixed under differentiation, take one step of Adam, and are
    clipped to the action limits. The plan followed is the best whose return has been seen, so the last step of a
    start counts only once it has proved itself. A start whose return or gradient is not finite is put back to its
    last finite plan, and goes on at half its pace.

    The problem must be differentiable: through a reward with jumps or a world with contacts the gradient means
    little, and sampling planners do better.

    Source: [Kingma15] for the steps; [Deisenroth11] for gradients through a belief, there of a policy. Deviates: an
    open-loop plan; several starts.
    """

    horizon: int = eqx.field(static=True, default=25)
    starts: int = eqx.field(static=True, default=4)
    iterations: int = eqx.field(static=True, default=40)
    rate: Real = real(0.1)  # [half-ranges] about what an action moves in one step
    std: Real = real(0.5)  # [half-ranges] of the noise on the other starts
    colour: Real = real(2.0)  # 0 white, 1 pink, 2 red

    def __check_init__(self) -> None:
        if self.starts < 1:
            raise InputError(f"a gradient planner needs at least one start, got {self.starts}")
        check_sizes(self, self.starts)

    def init(self, problem: Problem) -> GradientState:
        return self._beginning(middle(problem.task, self.horizon))

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: GradientState
    ) -> tuple[GradientState, Info]:
        start_key, world_key = jax.random.split(key)
        begun = self._begun(start_key, problem.task, state)
        seen, gradients = _slopes(world_key, problem, obs, begun.plans)
        candidates = jnp.concatenate([begun.best[None], begun.plans])
        returns = jnp.concatenate([problem.evaluate(world_key, obs, begun.best[None]), seen])
        elites, finite, info = elites_of(candidates, returns, 1)
        moved = self._moved(problem.task, begun, gradients, jnp.isfinite(seen))
        moved = eqx.tree_at(lambda s: s.best, moved, elites[0])
        return jax.tree.map(lambda new, old: jnp.where(finite[0], new, old), moved, state), info

    def plan(self, state: GradientState) -> Float[Array, "h a"]:
        return state.best

    def shift(self, problem: Problem, state: GradientState) -> GradientState:
        return self._beginning(moved_on(state.best, state.best[-1]))

    def _beginning(self, plan: Float[Array, "h a"]) -> GradientState:
        plans = jnp.broadcast_to(plan, (self.starts, *plan.shape))
        return GradientState(plan, plans, plans, jnp.ones(self.starts, plan.dtype), _resting(plans), jnp.asarray(True))

    def _begun(self, key: PRNGKeyArray, task: Task, state: GradientState) -> GradientState:
        """The state with its starts drawn, where a control step begins."""
        noise = coloured(key, (self.starts, self.horizon, task.action_size), self.colour).at[0].set(0.0)
        drawn = jnp.clip(state.best + self.std * _half_range(task) * noise, task.low, task.high)
        plans = jnp.where(state.fresh, drawn, state.plans)
        return dataclasses.replace(state, plans=plans, fresh=jnp.asarray(False))

    def _moved(
        self, task: Task, state: GradientState, gradients: Float[Array, "s h a"], finite: Bool[Array, "s"]
    ) -> GradientState:
        """All starts one step of Adam on, and the broken ones put back."""
        scaled = gradients * _half_range(task)
        sound = finite & jnp.isfinite(scaled**2).all((1, 2))
        where = jax.vmap(jnp.where)
        direction, adam = jax.vmap(_adam().update)(where(sound, scaled, 0.0 * state.plans), state.adam)
        stepped = state.plans + self.rate * state.pace[:, None, None] * _half_range(task) * direction
        return dataclasses.replace(
            state,
            plans=where(sound, jnp.clip(stepped, task.low, task.high), state.safe),
            safe=where(sound, state.plans, state.safe),
            pace=where(sound, state.pace, state.pace / 2),
            adam=jax.tree.map(lambda new, old: where(sound, new, old), adam, _resting(state.plans)),
        )


def _adam() -> optax.GradientTransformation:
    return optax.scale_by_adam()


def _resting(plans: Float[Array, "s h a"]) -> Any:
    """Adam's state before its first step, for each start."""
    return jax.vmap(_adam().init)(plans)


def _half_range(task: Task) -> Float[Array, "a"]:
    return (task.high - task.low) / 2


def _slopes(
    key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], plans: Float[Array, "s h a"]
) -> tuple[Float[Array, "s"], Float[Array, "s h a"]]:
    """What each plan is worth, and its gradient: the derivative of the sum, since no plan touches another's worth.

    On one device: sharing starts out would differentiate through a gather.
    """
    alone = dataclasses.replace(problem, mesh=None)

    def total(plans: Float[Array, "s h a"]) -> tuple[Float[Array, ""], Float[Array, "s"]]:
        worths = alone.evaluate(key, obs, plans)
        return worths.sum(), worths

    gradients, worths = jax.grad(total, has_aux=True)(plans)
    return worths, gradients
