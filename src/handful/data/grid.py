"""A grid over observations: finitely many cells in place of continuous states."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, real
from handful.task import Task

MOST = 2_000_000  # cells; a table over them, a number for each of five actions, takes 40 MB


class Axis(eqx.Module):
    """Equal intervals of one entry of the observation; values beyond the ends belong to the outermost ones.

    If `entry` is a pair, the observation holds the cosine and the sine of an angle, and the angle is divided.
    """

    entry: int | tuple[int, int] = eqx.field(static=True)
    cells: int = eqx.field(static=True)
    low: Real = real()
    high: Real = real()
    round: bool = eqx.field(static=True, default=False)  # the ends coincide: an angle

    @property
    def entries(self) -> tuple[int, ...]:
        return self.entry if isinstance(self.entry, tuple) else (self.entry,)


def turn(entry: int | tuple[int, int], cells: int) -> Axis:
    """An axis over a whole turn of an angle [rad], or of the one whose cosine and sine are the two entries."""
    return Axis(entry, cells, -np.pi, np.pi, round=True)


class Grid(eqx.Module):
    """Cells of equal size over some entries of an observation; entries without an axis are ignored.

    >>> grid = Grid((turn(0, 8), Axis(1, 5, -2.0, 2.0)), obs_size=2)
    >>> grid.count
    40
    >>> int(grid.cell(jnp.array([0.1, 9.0])))
    24
    >>> int(grid.cell(grid.centre(jnp.asarray(24))))
    24

    Raises `InputError` if axes do not fit the observation or there are too many cells.
    """

    axes: tuple[Axis, ...]
    obs_size: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        entries = [entry for axis in self.axes for entry in axis.entries]
        if not entries or len(set(entries)) != len(entries) or not all(0 <= e < self.obs_size for e in entries):
            raise InputError(
                f"a grid's axes must be of distinct entries below {self.obs_size}, the observation's size, got "
                f"{tuple(axis.entry for axis in self.axes)}"
            )
        for axis in self.axes:
            ends = (axis.low, axis.high)
            sane = any(isinstance(end, Tracer) for end in ends) or bool(np.isfinite(ends).all() and ends[0] < ends[1])
            if axis.cells < 1 or not sane:
                raise InputError(
                    "an axis must have at least one cell and finite ends, the lower one first, got "
                    f"{axis.cells} cells from {axis.low} to {axis.high} for entry {axis.entry}; give the range in "
                    "which the entry stays"
                )
        if self.count > MOST:
            raise InputError(
                f"a grid may have at most {MOST} cells, got {self.count}; take fewer cells an axis, or tile coding"
            )

    @classmethod
    def covering(cls, task: Task, obs: Float[Array, "b o"], mask: Bool[Array, "b"], cells: int) -> "Grid":
        """`cells` intervals of each entry over the range of the data where `mask` holds; angles over a whole turn."""
        low = jnp.where(mask[:, None], obs, jnp.inf).min(0)
        high = jnp.where(mask[:, None], obs, -jnp.inf).max(0)
        angle = lambda entry: entry in task.angles
        axes = [turn(e, cells) if angle(e) else Axis(e, cells, low[e], high[e]) for e in range(task.obs_size)]
        return cls(tuple(axes), task.obs_size)

    @classmethod
    def of_states(cls, count: int) -> "Grid":
        """A cell for each state of a finite system whose observation is the state's number."""
        return cls((Axis(0, count, -0.5, count - 0.5),), 1)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.cells for axis in self.axes)

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    def place(self, obs: Float[Array, "o"]) -> Float[Array, "k"]:
        """Position of an observation on each axis, in cells from its lower end; clipped, or wrapped if round."""
        return jnp.stack([_place(axis, obs) for axis in self.axes])

    def cell(self, obs: Float[Array, "o"]) -> Int[Array, ""]:
        """The index of the cell that an observation lies in; the last axis varies fastest."""
        return self.number(jnp.floor(self.place(obs)).astype(int))

    def number(self, indices: Int[Array, "k"]) -> Int[Array, ""]:
        """The index of the cell with these indices along the axes, clipped to the ends."""
        last = jnp.array(self.shape) - 1
        strides = np.cumprod([1, *self.shape[:0:-1]])[::-1]
        return jnp.sum(jnp.clip(indices, 0, last) * jnp.asarray(strides.copy()))

    def centre(self, cell: Int[Array, ""]) -> Float[Array, "o"]:
        """The observation in the middle of a cell; entries without an axis are zero."""
        return self._obs(cell, jnp.full(len(self.axes), 0.5))

    def within(self, key: PRNGKeyArray, cell: Int[Array, ""]) -> Float[Array, "o"]:
        """An observation drawn uniformly from a cell."""
        return self._obs(cell, jax.random.uniform(key, (len(self.axes),)))

    def check(self, task: Task) -> None:
        """Raises `InputError` if the task's observations have another size."""
        if self.obs_size != task.obs_size:
            raise InputError(
                f"this grid was made for observations of {self.obs_size} entries, and those of the task have "
                f"{task.obs_size}: {', '.join(task.names)}"
            )

    def _obs(self, cell: Int[Array, ""], share: Float[Array, "k"]) -> Float[Array, "o"]:
        obs = jnp.zeros(self.obs_size)
        for axis, index, part in zip(self.axes, jnp.unravel_index(cell, self.shape), share, strict=True):
            value = axis.low + (index + part) * (axis.high - axis.low) / axis.cells
            if isinstance(axis.entry, tuple):
                obs = obs.at[jnp.array(axis.entry)].set(jnp.stack([jnp.cos(value), jnp.sin(value)]))
            else:
                obs = obs.at[axis.entry].set(value)
        return obs


@dataclass(frozen=True)
class TaskGrid:
    """A task's grid: its axes as a function of the cells of each, and how many cells tables and tilings have."""

    axes: Callable[..., tuple[Axis, ...]]
    obs_size: int
    table: tuple[int, ...]  # cells per axis of a table
    tiles: tuple[int, ...]  # cells per axis of each of several shifted tilings

    def for_table(self) -> Grid:
        return Grid(self.axes(*self.table), self.obs_size)

    def for_tiles(self) -> Grid:
        return Grid(self.axes(*self.tiles), self.obs_size)


def _place(axis: Axis, obs: Float[Array, "o"]) -> Float[Array, ""]:
    raw = jnp.arctan2(obs[axis.entry[1]], obs[axis.entry[0]]) if isinstance(axis.entry, tuple) else obs[axis.entry]
    share = (raw - axis.low) / (axis.high - axis.low)
    return axis.cells * (share % 1.0 if axis.round else jnp.clip(share, 0.0, 1.0))
