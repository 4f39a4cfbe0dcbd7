"""Features for linear value functions: cells of a table, tiles, cosines."""

import math
from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from handful.data.grid import Grid
from handful.errors import InputError
from handful.task import Task

MAX_FEATURES = 10_000_000  # weights of five actions for each take 200 MB
MAX_WEIGHTS = 5 * MAX_FEATURES


class Active(eqx.Module):
    """The non-zero features of an observation."""

    index: Int[Array, "k"]
    value: Float[Array, "k"]


class AbstractFeatures(eqx.Module):
    """A map from an observation to a sparse feature vector; values are its product with weights per action."""

    grid: eqx.AbstractVar[Grid]  # the range of observations

    @property
    @abstractmethod
    def count(self) -> int:
        """The number of features."""

    @abstractmethod
    def __call__(self, obs: Float[Array, "o"]) -> Active:
        """The features of an observation."""

    @abstractmethod
    def constant(self, value: Float[Array, ""]) -> Float[Array, "f"]:
        """Weights that give every observation the value `value`."""

    def check(self, task: Task) -> None:
        """Raises `InputError` if the task's observations have another size."""
        self.grid.check(task)

    def weights(self, value: Float[Array, ""], actions: int) -> Float[Array, "f c"]:
        """Weights that give every action the value `value` everywhere. Raises `InputError` if they are too many."""
        if self.count * actions > MAX_WEIGHTS:
            raise InputError(
                f"features x actions may be {MAX_WEIGHTS} at most, got {self.count} features and {actions} actions; "
                "use fewer features, or a network, as in dqn or ppo"
            )
        return jnp.broadcast_to(self.constant(value)[:, None], (self.count, actions))


class Cells(AbstractFeatures):
    """One indicator feature per cell of the grid: a table.

    >>> features = Cells(Grid.of_states(4))
    >>> active = features(jnp.array([2.0]))
    >>> active.index.tolist(), active.value.tolist()
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
    """Tile coding: several tables over the same range, each shifted by a fraction of a cell.

    Tiling `i` of `n` is shifted along axis `j` by `i (2 j + 1) / n` cells, modulo one cell; an axis that is not
    periodic has one cell more, for what the shift moves beyond the end.

    >>> features = Tiles(Grid.of_states(4), tilings=3)
    >>> features(jnp.array([2.0])).index.tolist()
    [2, 7, 13]

    Source: [Sutton18] section 9.5.4. Deviates: no hashing.
    """

    grid: Grid
    tilings: int = eqx.field(static=True, default=8)

    def __check_init__(self) -> None:
        if self.tilings < 1 or self.count > MAX_FEATURES:
            raise InputError(
                f"there must be at least one tiling and at most {MAX_FEATURES} tiles, got {self.tilings} tilings and "
                f"{self.count} tiles; use fewer cells per axis"
            )

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(axis.cells if axis.round else axis.cells + 1 for axis in self.grid.axes)

    @property
    def count(self) -> int:
        return self.tilings * math.prod(self._shape)

    def __call__(self, obs: Float[Array, "o"]) -> Active:
        tiling, axis = np.arange(self.tilings)[:, None], np.arange(len(self.grid.axes))
        shift = tiling * (2 * axis + 1) % self.tilings / self.tilings
        shifted = jnp.floor(self.grid.place(obs) + shift).astype(int)
        ends = jnp.array([axis.cells for axis in self.grid.axes])
        periodic = jnp.array([axis.round for axis in self.grid.axes])
        indices = jnp.where(periodic, shifted % ends, jnp.minimum(shifted, ends))
        strides = np.cumprod([1, *self._shape[:0:-1]])[::-1].copy()
        first = jnp.arange(self.tilings) * (self.count // self.tilings)
        return Active(first + indices @ strides, jnp.ones(self.tilings))

    def constant(self, value: Float[Array, ""]) -> Float[Array, "f"]:
        return jnp.full(self.count, value / self.tilings)


class Fourier(AbstractFeatures):
    """Products of one wave per axis, `cos(pi k x)` with `x` from 0 to 1 over its range and integer `k` up to `order`.

    A periodic axis has the cosines and sines of `2 pi k x` instead. Only the grid's range matters, not its cells.

    >>> features = Fourier(Grid.of_states(4), order=2)
    >>> features(jnp.array([-0.5])).value.tolist()
    [1.0, 1.0, 1.0]

    Source: [Konidaris11]. Deviates: products of cosines instead of cosines of sums; periodic axes; the same learning
    rate for all `k`.
    """

    grid: Grid
    order: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        if self.order < 1 or self.count > MAX_FEATURES:
            raise InputError(
                f"the order must be at least 1 and the number of features at most {MAX_FEATURES}, got order "
                f"{self.order} and {self.count} features; lower the order"
            )

    @property
    def _factors(self) -> list[int]:
        return [2 * self.order + 1 if axis.round else self.order + 1 for axis in self.grid.axes]

    @property
    def count(self) -> int:
        """The number of products of one wave per axis."""
        return math.prod(self._factors)

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


def linear_values(weights: Float[Array, "f c"], active: Active) -> Float[Array, "c"]:
    """The value of each action, given the active features."""
    return active.value @ weights[active.index]


def add_to_value(
    weights: Float[Array, "f c"],
    active: Active,
    action: Int[Array, ""],
    change: Float[Array, ""],
    used: Bool[Array, ""],
) -> Float[Array, "f c"]:
    """The weights after a gradient step that changes the value of `action` by `change`; the same if not `used`."""
    step = change * (active.value / jnp.sum(active.value**2))
    return weights.at[active.index, action].add(jnp.where(used, step, 0.0))  # 0 times a NaN feature would be NaN
