"""Transitions in padded arrays with a traced count, so that more data do not recompile anything."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Int

from handful.errors import InputError
from handful.task import Task
from handful.types import Transition

MAX_NUMBERS = 1_000_000_000  # 4 GB in float32


class Dataset(eqx.Module):
    """All recorded transitions: `count` of them in arrays of `capacity` rows, with the trial of each.

    >>> from handful import PointMass, Transition
    >>> obs, action, no = jnp.ones((3, 4)), jnp.ones((3, 2)), jnp.zeros(3, bool)
    >>> data = Dataset.empty(PointMass().task, capacity=1000)
    >>> data = data.add(Transition(obs, action, jnp.ones(3), obs + 0.1, no, no), trial=0)
    >>> int(data.count)
    3
    """

    transitions: Transition  # rows at and after `count` are zero
    trial: Int[Array, "capacity"]  # index of the trial of each row; -1 in padding
    count: Int[Array, ""]

    @classmethod
    def empty(cls, task: Task, capacity: int) -> "Dataset":
        """A dataset without rows. Raises `InputError` if the capacity is too large."""
        check_room(task, capacity)
        o, a = task.obs_size, task.action_size
        rows = Transition(
            obs=jnp.zeros((capacity, o)),
            action=jnp.zeros((capacity, a)),
            reward=jnp.zeros(capacity),
            next_obs=jnp.zeros((capacity, o)),
            terminated=jnp.zeros(capacity, bool),
            truncated=jnp.zeros(capacity, bool),
        )
        return cls(rows, jnp.full(capacity, -1, int), jnp.zeros((), int))

    @property
    def capacity(self) -> int:
        return self.trial.shape[0]

    def mask(self) -> Bool[Array, "capacity"]:
        """True on rows that hold data."""
        return jnp.arange(self.capacity) < self.count

    def add(
        self, transitions: Transition, trial: int | Int[Array, ""], rows: int | Int[Array, ""] | None = None
    ) -> "Dataset":
        """The dataset with the first `rows` transitions of a batch appended (all of them if None).

        Raises `InputError` if observations or actions do not have the shapes of the task, and if the whole batch
        exceeds the capacity (checked outside `jit`).
        """
        for name in ("obs", "action", "next_obs"):
            given, held = getattr(transitions, name).shape[1:], getattr(self.transitions, name).shape[1:]
            if given != held:
                raise InputError(f"{name} of each transition must have this dataset's shape {held}, got {given}")
        length = transitions.reward.shape[0]
        if not isinstance(self.count, Tracer) and int(self.count) + length > self.capacity:
            raise InputError(
                f"{length} transitions do not fit: {int(self.count)} of {self.capacity} rows are taken; "
                "call grown() first"
            )
        rows = length if rows is None else rows
        return _append(self, transitions, jnp.asarray(trial, int), jnp.asarray(rows, int))

    def grown(self, capacity: int) -> "Dataset":
        """The same data with a larger capacity; functions compiled for the old one are compiled again."""
        extra = capacity - self.capacity
        if extra < 0:
            raise InputError(f"a dataset of capacity {self.capacity} cannot be cut to {capacity}")
        pad = lambda x, value=0: jnp.pad(x, [(0, extra)] + [(0, 0)] * (x.ndim - 1), constant_values=value)
        return Dataset(jax.tree.map(pad, self.transitions), pad(self.trial, -1), self.count)


@jax.jit
def _append(data: Dataset, transitions: Transition, trial: Int[Array, ""], rows: Int[Array, ""]) -> Dataset:
    kept = jnp.arange(transitions.reward.shape[0]) < rows

    def put(old: Array, new: Array) -> Array:
        padded = jnp.where(jnp.expand_dims(kept, tuple(range(1, new.ndim))), new, 0).astype(old.dtype)
        return jax.lax.dynamic_update_slice_in_dim(old, padded, data.count, axis=0)

    trials = jax.lax.dynamic_update_slice_in_dim(data.trial, jnp.where(kept, trial, -1), data.count, axis=0)
    return Dataset(jax.tree.map(put, data.transitions, transitions), trials, data.count + rows)


def check_room(task: Task, capacity: int) -> None:
    """Raises `InputError` if so many transitions are too large to store."""
    numbers = 2 * task.obs_size + task.action_size + 2
    if capacity * numbers > MAX_NUMBERS:
        raise InputError(
            f"{capacity} transitions of {numbers} numbers exceed the limit of {MAX_NUMBERS} numbers; take fewer trials"
        )
