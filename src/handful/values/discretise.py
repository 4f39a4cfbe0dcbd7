"""Finite MDPs of continuous tasks: from a dynamics model on a grid, or from counts of recorded transitions."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.data.grid import Grid
from handful.errors import InputError
from handful.fields import Real
from handful.models.base import AbstractDynamics
from handful.policies.discrete_actions import DiscreteActions
from handful.task import Task
from handful.types import Transition
from handful.values.mdp import FiniteMDP

MAX_OUTCOMES = 20_000_000  # steps of the dynamics; 240 MB as a list


def discretised(
    key: PRNGKeyArray,
    task: Task,
    model: AbstractDynamics,
    grid: Grid,
    actions: DiscreteActions,
    *,
    discount: float | Real,
    samples: int = 1,
) -> FiniteMDP:
    """The MDP of a grid's cells, from `samples` equally likely steps of `model` for every cell and action.

    One sample starts at the cell's centre. More start at uniform places in the cell, so that slow motions leave a cell
    that is longer than a step.

    Raises `InputError` if the grid does not fit the task, there would be too many steps, or a step is not finite.
    """
    grid.check(task)
    steps = grid.count * actions.count * samples
    if samples < 1 or steps > MAX_OUTCOMES:
        raise InputError(
            f"samples must be at least 1 and cells x actions x samples at most {MAX_OUTCOMES}, got {grid.count} cells, "
            f"{actions.count} actions and {samples} samples, {steps} steps; use a coarser grid"
        )
    cells, rewards, finite = _outcomes(key, task, model, grid, actions, samples=samples)
    if not isinstance(finite, Tracer) and not finite.all():
        cell, action = (int(index) for index in jnp.argwhere(~finite)[0, :2])
        raise InputError(
            f"every step from the grid must be finite, but that of action {action} from cell {cell}, around "
            f"{grid.centre(jnp.asarray(cell))}, is not; restrict the grid to where the model is valid"
        )
    continues = cells >= 0
    return FiniteMDP(
        pair=jnp.repeat(jnp.arange(grid.count * actions.count), samples),
        next_state=jnp.where(continues, cells, 0).reshape(-1),
        probability=jnp.where(continues, 1 / samples, 0.0).reshape(-1),
        reward=rewards.mean(-1),
        discount=discount,
    )


@eqx.filter_jit
def _outcomes(
    key: PRNGKeyArray, task: Task, model: AbstractDynamics, grid: Grid, actions: DiscreteActions, *, samples: int
) -> tuple[Int[Array, "s c n"], Float[Array, "s c n"], Bool[Array, "s c n"]]:
    """The next cell of each step (-1 if it terminates), its reward, and whether both are finite."""

    def once(key: PRNGKeyArray, cell: Int[Array, ""], action: Float[Array, "a"]) -> tuple[Array, Array, Array]:
        place_key, step_key = jax.random.split(key)
        obs = grid.centre(cell) if samples == 1 else grid.within(place_key, cell)
        next_obs = model.sample(step_key, obs, action)
        next_cell = jnp.where(task.terminated(next_obs), -1, grid.cell(next_obs))
        reward = task.reward(obs, action, next_obs)
        return next_cell, reward, jnp.isfinite(next_obs).all() & jnp.isfinite(reward)

    def from_cell(cell: Int[Array, ""]) -> tuple[Array, Array, Array]:
        keys = jax.random.split(jax.random.fold_in(key, cell), samples)  # the same for all actions of a cell
        sampled = jax.vmap(once, (0, None, None))
        return jax.vmap(lambda index: sampled(keys, cell, actions.at(index)))(jnp.arange(actions.count))

    return jax.lax.map(from_cell, jnp.arange(grid.count), batch_size=1024)


def counted(
    rows: Transition,
    mask: Bool[Array, "b"],
    grid: Grid,
    actions: DiscreteActions,
    *,
    discount: float | Real,
    unvisited: float | Real,
) -> FiniteMDP:
    """The MDP whose outcomes of a cell and action are those of the recorded transitions, equally likely.

    A recorded action counts as the nearest discrete action. A pair without data terminates with reward `unvisited`: a
    high one is optimism, which makes a greedy policy explore, a low one is caution. Transitions that are not finite are
    left out.
    """
    mask = mask & rows.finite
    cell = jax.vmap(grid.cell)
    pair = cell(rows.obs) * actions.count + jax.vmap(actions.nearest)(rows.action)
    pairs = grid.count * actions.count
    times = jax.ops.segment_sum(mask.astype(float), pair, pairs)
    reward = jax.ops.segment_sum(jnp.where(mask, rows.reward, 0.0), pair, pairs) / jnp.maximum(times, 1)
    return FiniteMDP(
        pair=pair,
        next_state=cell(rows.next_obs),
        probability=jnp.where(mask & ~rows.terminated, 1 / jnp.maximum(times[pair], 1), 0.0),
        reward=jnp.where(times > 0, reward, unvisited).reshape(grid.count, actions.count),
        discount=discount,
    )
