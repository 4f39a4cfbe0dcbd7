"""Finite MDPs of continuous tasks: by stepping dynamics from each cell, or by counting what was seen."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real
from handful.models.base import AbstractDynamics
from handful.policies.choices import Choices
from handful.task import Task
from handful.types import Transition
from handful.values.grid import Grid
from handful.values.mdp import FiniteMDP

MOST_OUTCOMES = 20_000_000  # steps of the dynamics; 240 MB as a list


def discretised(
    key: PRNGKeyArray,
    task: Task,
    model: AbstractDynamics,
    grid: Grid,
    choices: Choices,
    *,
    discount: float | Real,
    samples: int = 1,
) -> FiniteMDP:
    """The MDP of a grid's cells: every choice is tried from `samples` places of every cell, each equally likely.

    One sample starts in the middle of the cell; more start anywhere in it, which keeps slow motions from standing
    still in a cell that is longer than a step.

    Raises `InputError` where the grid is not the task's, the steps would be too many, or one leads to what is not
    finite.
    """
    grid.check(task)
    steps = grid.count * choices.count * samples
    if samples < 1 or steps > MOST_OUTCOMES:
        raise InputError(
            f"{grid.count} cells, {choices.count} choices and {samples} samples make {steps} steps, at least one "
            f"sample and at most {MOST_OUTCOMES} steps can be had; take a coarser grid"
        )
    cells, rewards, finite = _stepped(key, task, model, grid, choices, samples=samples)
    if not isinstance(finite, Tracer) and not finite.all():
        cell, choice = (int(index) for index in jnp.argwhere(~finite)[0, :2])
        raise InputError(
            f"every step from the grid must lead to finite numbers, but choice {choice} from cell {cell}, around "
            f"{grid.centre(jnp.asarray(cell))}, does not; keep the grid where the model holds"
        )
    going = cells >= 0
    return FiniteMDP(
        pair=jnp.repeat(jnp.arange(grid.count * choices.count), samples),
        following=jnp.where(going, cells, 0).reshape(-1),
        probability=jnp.where(going, 1 / samples, 0.0).reshape(-1),
        reward=rewards.mean(-1),
        discount=discount,
    )


@eqx.filter_jit
def _stepped(
    key: PRNGKeyArray, task: Task, model: AbstractDynamics, grid: Grid, choices: Choices, *, samples: int
) -> tuple[Int[Array, "s c n"], Float[Array, "s c n"], Bool[Array, "s c n"]]:
    """Where each step leads, -1 where it ends the trial; what it pays; and whether both are finite."""

    def once(key: PRNGKeyArray, cell: Int[Array, ""], action: Float[Array, "a"]) -> tuple[Array, Array, Array]:
        place_key, step_key = jax.random.split(key)
        obs = grid.centre(cell) if samples == 1 else grid.within(place_key, cell)
        following = model.sample(step_key, obs, action)
        leads, paid = (
            jnp.where(task.terminated(following), -1, grid.cell(following)),
            task.reward(obs, action, following),
        )
        return leads, paid, jnp.isfinite(following).all() & jnp.isfinite(paid)

    def from_cell(cell: Int[Array, ""]) -> tuple[Array, Array, Array]:
        keys = jax.random.split(jax.random.fold_in(key, cell), samples)  # alike for all choices of a cell
        several = jax.vmap(once, (0, None, None))
        return jax.vmap(lambda action: several(keys, cell, action))(choices.actions)

    return jax.lax.map(from_cell, jnp.arange(grid.count), batch_size=1024)


def nearest(choices: Choices, action: Float[Array, "a"]) -> Int[Array, ""]:
    """The number of the choice that an action is nearest to."""
    return jnp.argmin(jnp.sum((choices.actions - action) ** 2, axis=1))


def counted(
    rows: Transition,
    mask: Bool[Array, "b"],
    grid: Grid,
    choices: Choices,
    *,
    discount: float | Real,
    unvisited: float | Real,
) -> FiniteMDP:
    """The MDP in which each cell and choice leads where the transitions recorded from it led, as often as they did.

    A pair that was never met ends the trial and pays `unvisited`: high is optimism, which draws a greedy policy to what
    it does not know, low is caution. A choice is the one nearest to the recorded action.
    """
    cell = jax.vmap(grid.cell)
    pair = cell(rows.obs) * choices.count + jax.vmap(lambda action: nearest(choices, action))(rows.action)
    pairs = grid.count * choices.count
    times = jax.ops.segment_sum(mask.astype(float), pair, pairs)
    paid = jax.ops.segment_sum(jnp.where(mask, rows.reward, 0.0), pair, pairs) / jnp.maximum(times, 1)
    return FiniteMDP(
        pair=pair,
        following=cell(rows.next_obs),
        probability=jnp.where(mask & ~rows.terminated, 1 / jnp.maximum(times[pair], 1), 0.0),
        reward=jnp.where(times > 0, paid, unvisited).reshape(grid.count, choices.count),
        discount=discount,
    )
