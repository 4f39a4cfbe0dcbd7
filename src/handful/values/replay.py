"""What was met, kept in a ring to learn from again."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.types import Transition


class Memory(eqx.Module):
    """One step of interaction as a choice among finitely many, or a batch of them on leading axes.

    Whether time ran out is not kept: a value goes on through a time limit.
    """

    obs: Float[Array, "*b o"]
    choice: Int[Array, "*b"]  # which one
    reward: Float[Array, "*b"]
    next_obs: Float[Array, "*b o"]  # the true one, before any reset
    terminated: Bool[Array, "*b"]

    @classmethod
    def of(cls, met: Transition) -> "Memory":
        """Transitions whose `action` is a one-hot choice, with their leading axes made one."""
        rows = cls(met.obs, jnp.argmax(met.action, -1), met.reward, met.next_obs, met.terminated)
        lead = met.reward.ndim
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[lead:]), rows)

    def finite(self) -> Bool[Array, "b"]:
        """The rows that are numbers everywhere."""
        return jnp.isfinite(self.obs).all(-1) & jnp.isfinite(self.next_obs).all(-1) & jnp.isfinite(self.reward)


class Replay(eqx.Module):
    """The last `capacity` memories; the oldest makes room.

    >>> replay = Replay.empty(obs_size=3, capacity=4)
    >>> rows = Memory(jnp.ones((3, 3)), jnp.array([1, 0, 2]), jnp.ones(3), jnp.ones((3, 3)), jnp.zeros(3, bool))
    >>> replay = replay.add(rows).add(rows)
    >>> int(replay.added), int(replay.held), replay.rows.choice.tolist()
    (6, 4, [0, 2, 2, 1])
    """

    rows: Memory  # leading axis of `capacity`
    added: Int[Array, ""]  # memories ever added

    @classmethod
    def empty(cls, obs_size: int, capacity: int) -> "Replay":
        obs, none = jnp.zeros((capacity, obs_size)), jnp.zeros(capacity)
        return cls(Memory(obs, none.astype(int), none, obs, none.astype(bool)), jnp.zeros((), int))

    @property
    def capacity(self) -> int:
        return self.rows.reward.shape[0]

    @property
    def held(self) -> Int[Array, ""]:
        return jnp.minimum(self.added, self.capacity)

    def add(self, rows: Memory) -> "Replay":
        """The replay with a batch added, in its order. Rows that are not finite are left out.

        Raises `InputError` where the batch is larger than the capacity.
        """
        size = rows.reward.shape[0]
        if size > self.capacity:
            raise InputError(f"a replay of capacity {self.capacity} cannot take {size} memories at once; enlarge it")
        kept = rows.finite()
        turn = self.added + jnp.cumsum(kept) - 1
        place = jnp.where(kept, turn % self.capacity, self.capacity)  # past the end: dropped
        put = lambda old, new: old.at[place].set(new, mode="drop")  # noqa: E731
        return Replay(jax.tree.map(put, self.rows, rows), self.added + kept.sum())

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Int[Array, "..."]:
        """Places of memories drawn uniformly, with replacement; the first place while there are none."""
        return jax.random.randint(key, shape, 0, jnp.maximum(self.held, 1))

    def at(self, places: Int[Array, "*b"]) -> Memory:
        return jax.tree.map(lambda leaf: leaf[places], self.rows)
