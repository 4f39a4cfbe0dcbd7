"""Features that a worth is linear in: a table's cells, tiles, or cosines."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from handful.errors import InputError
from handful.task import Task
from handful.values.grid import Grid

MOST = 10_000_000  # features; with five actions a table of them takes 200 MB


class Active(eqx.Module):
    """The features of an observation that are not zero."""

    index: Int[Array, "k"]
    size: Float[Array, "k"]


class AbstractFeatures(eqx.Module):
    """From an observation to a sparse vector; a worth is its product with weights, a column for each choice."""

    grid: eqx.AbstractVar[Grid]  # the range of observations

    @property
    @abstractmethod
    def count(self) -> int:
        """How many features there are."""

    @abstractmethod
    def __call__(self, obs: Float[Array, "o"]) -> Active:
        """Those of an observation."""

    @abstractmethod
    def constant(self, value: Float[Array, ""]) -> Float[Array, "f"]:
        """The weights with which every observation is worth `value`."""

    def check(self, task: Task) -> None:
        """Raises `InputError` where the task's observations have another size."""
        self.grid.check(task)


class Cells(AbstractFeatures):
    """One feature a cell of the grid, which is 1 inside: the table.

    >>> features = Cells(Grid.of_states(4))
    >>> active = features(jnp.array([2.0]))
    >>> active.index.tolist(), active.size.tolist()
    ([2], [1.0])
    """

    grid: Grid

    @property
    def count(self) -> int:
        return self.grid.count

    def __call__(self, obs: Float[Array, "o"]) -> Active:
        return Active(self.grid.cell(obs)[None], jnp.ones(1))

    def constant(self, value: Float[Array, ""]) -> Float[Array, "f"]:
        return jnp.full(self.count, value)


class Tiles(AbstractFeatures):
    """Several tables over the same range, each shifted by a part of a cell: fine where they overlap, broad to learn.

    Tiling `i` of `n` is shifted along axis `j` by `i (2 j + 1) / n` cells, whole cells aside; an axis that is not round
    has a cell more, for what the shift pushes out.

    >>> features = Tiles(Grid.of_states(4), tilings=3)
    >>> features(jnp.array([2.0])).index.tolist()
    [2, 7, 13]

    Source: [Sutton18] section 9.5.4. Deviates: no hashing.
    """

    grid: Grid
    tilings: int = eqx.field(static=True, default=8)

    def __check_init__(self) -> None:
        if self.tilings < 1 or self.count > MOST:
            raise InputError(
                f"at least one tiling and at most {MOST} tiles can be had, got {self.tilings} tilings and {self.count} "
                "tiles; take fewer cells an axis"
            )

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(axis.cells if axis.round else axis.cells + 1 for axis in self.grid.axes)

    @property
    def count(self) -> int:
        return self.tilings * int(np.prod(self._shape, dtype=float))

    def __call__(self, obs: Float[Array, "o"]) -> Active:
        tiling, axis = np.arange(self.tilings)[:, None], np.arange(len(self.grid.axes))
        shift = tiling * (2 * axis + 1) % self.tilings / self.tilings
        shifted = jnp.floor(self.grid.place(obs) + shift).astype(int)
        ends = jnp.array([axis.cells for axis in self.grid.axes])
        turned = jnp.array([axis.round for axis in self.grid.axes])
        indices = jnp.where(turned, shifted % ends, jnp.minimum(shifted, ends))
        strides = np.cumprod([1, *self._shape[:0:-1]])[::-1].copy()
        first = jnp.arange(self.tilings) * (self.count // self.tilings)
        return Active(first + indices @ strides, jnp.ones(self.tilings))

    def constant(self, value: Float[Array, ""]) -> Float[Array, "f"]:
        return jnp.full(self.count, value / self.tilings)


class Fourier(AbstractFeatures):
    """Products of waves `cos(pi k x)`, one an axis, with `x` from 0 to 1 over its range and whole `k` up to `order`.

    An axis that is round has the cosines and sines of `2 pi k x` instead. The grid gives the range, whatever its cells.

    >>> features = Fourier(Grid.of_states(4), order=2)
    >>> features(jnp.array([-0.5])).size.tolist()
    [1.0, 1.0, 1.0]

    Source: [Konidaris11]. Deviates: products of cosines in place of cosines of sums; round axes; one rate for all `k`.
    """

    grid: Grid
    order: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        if self.order < 1 or self.count > MOST:
            raise InputError(
                f"the order must be at least 1 and the features at most {MOST}, got order {self.order} and "
                f"{self.count} features; lower the order"
            )

    @property
    def _factors(self) -> list[int]:
        return [2 * self.order + 1 if axis.round else self.order + 1 for axis in self.grid.axes]

    @property
    def count(self) -> int:
        """Products of one wave an axis."""
        return int(np.prod(self._factors, dtype=float))

    def __call__(self, obs: Float[Array, "o"]) -> Active:
        shares = self.grid.place(obs) / jnp.array(self.grid.shape)
        frequencies = jnp.arange(self.order + 1)
        product = jnp.ones(1)
        for axis, share in zip(self.grid.axes, shares, strict=True):
            angle = frequencies * share * (2 * jnp.pi if axis.round else jnp.pi)
            waves = jnp.concatenate([jnp.cos(angle), jnp.sin(angle[1:])]) if axis.round else jnp.cos(angle)
            product = (product[:, None] * waves).reshape(-1)
        return Active(jnp.arange(self.count), product)

    def constant(self, value: Float[Array, ""]) -> Float[Array, "f"]:
        return jnp.zeros(self.count).at[0].set(value)


def worth(weights: Float[Array, "f c"], active: Active) -> Float[Array, "c"]:
    """Of each choice, where these features are active."""
    return active.size @ weights[active.index]


def corrected(
    weights: Float[Array, "f c"], active: Active, choice: Int[Array, ""], change: Float[Array, ""]
) -> Float[Array, "f c"]:
    """The weights after a step along the gradient that changes the worth of `choice` by `change`."""
    share = active.size / jnp.sum(active.size**2)
    return weights.at[active.index, choice].add(change * share)
