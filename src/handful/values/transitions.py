"""Transitions whose action is an index, for methods with finitely many actions."""

import jax
import jax.numpy as jnp
from equinox import Module
from jaxtyping import Array, Bool, Float, Int

from handful.types import Batch


class DiscreteTransition(Module):
    """One step of interaction, or a batch of them on leading axes.

    Truncation is not kept: values bootstrap through a time limit.
    """

    obs: Float[Array, "*b o"]
    action: Int[Array, "*b"]  # its index
    reward: Float[Array, "*b"]
    next_obs: Float[Array, "*b o"]  # the true one, before any reset
    terminated: Bool[Array, "*b"]

    @classmethod
    def zeros(cls, obs_size: int, shape: tuple[int, ...] = ()) -> "DiscreteTransition":
        obs, zero = jnp.zeros((*shape, obs_size)), jnp.zeros(shape)
        return cls(obs, zero.astype(int), zero, obs, zero.astype(bool))

    @classmethod
    def of(cls, batch: Batch) -> tuple["DiscreteTransition", Bool[Array, "b"]]:
        """The rows of a batch whose `action` is one-hot, its axes t n made one, and which are valid and finite."""
        rows = batch.transitions
        discrete = cls(rows.obs, jnp.argmax(rows.action, -1), rows.reward, rows.next_obs, rows.terminated)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), discrete)
        return flat, (batch.valid & rows.finite).reshape(-1)
