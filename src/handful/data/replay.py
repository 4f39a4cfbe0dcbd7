"""A replay buffer for rows of any kind."""

from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from handful.errors import InputError

Row = TypeVar("Row")


class Replay(eqx.Module, Generic[Row]):
    """A ring buffer of the last `capacity` rows. A row is a pytree of arrays, e.g. a `Transition`.

    >>> replay = Replay.empty({"obs": jnp.zeros(2), "reward": jnp.zeros(())}, capacity=4)
    >>> rows = {"obs": jnp.ones((3, 2)), "reward": jnp.array([1.0, 2.0, 3.0])}
    >>> replay = replay.add(rows).add(rows, keep=jnp.array([True, False, True]))
    >>> int(replay.added), int(replay.size), replay.rows["reward"].tolist()
    (5, 4, [3.0, 2.0, 3.0, 1.0])
    """

    rows: Row  # on a leading axis of `capacity`
    added: Int[Array, ""]  # rows ever added

    @classmethod
    def empty(cls, example: Row, capacity: int) -> "Replay[Row]":
        """Without rows; `example` gives the structure, shapes and types of a row."""
        rows = jax.tree.map(lambda leaf: jnp.zeros((capacity, *jnp.shape(leaf)), jnp.result_type(leaf)), example)
        return cls(rows, jnp.zeros((), int))

    @property
    def capacity(self) -> int:
        return jax.tree.leaves(self.rows)[0].shape[0]

    @property
    def size(self) -> Int[Array, ""]:
        """The number of rows stored."""
        return jnp.minimum(self.added, self.capacity)

    def add(self, rows: Row, keep: Bool[Array, "b"] | None = None) -> "Replay[Row]":
        """The buffer with rows (leading axis b) added in order, or those of them where `keep` holds.

        Raises `InputError` if there are more rows than the capacity.
        """
        count = jax.tree.leaves(rows)[0].shape[0]
        if count > self.capacity:
            raise InputError(
                f"a replay buffer of capacity {self.capacity} cannot take {count} rows at once; enlarge the capacity"
            )
        keep = jnp.ones(count, bool) if keep is None else keep
        turn = self.added + jnp.cumsum(keep) - 1
        place = jnp.where(keep, turn % self.capacity, self.capacity)  # out of range: dropped
        put = lambda old, new: old.at[place].set(new, mode="drop")
        return Replay(jax.tree.map(put, self.rows, rows), self.added + keep.sum())

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Int[Array, "..."]:
        """Indices of rows, drawn uniformly with replacement; index 0 while the buffer is empty."""
        return jax.random.randint(key, shape, 0, jnp.maximum(self.size, 1))

    def at(self, indices: Int[Array, "*b"]) -> Row:
        """The rows at these indices."""
        return jax.tree.map(lambda leaf: leaf[indices], self.rows)
