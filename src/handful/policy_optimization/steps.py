"""Gradient steps that survive a bad gradient."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, check_within, real

Weights = TypeVar("Weights")


class Adam(eqx.Module):
    """Adam, its rate falling linearly to zero, its gradients cut to a greatest norm.

    A gradient that is not finite moves nothing.
    """

    rate: Real = real(3e-4)
    updates: Real = real(jnp.inf)  # in which the rate falls to zero; infinite: it stays
    longest: Real = real(0.5)  # greatest norm of a gradient
    epsilon: Real = real(1e-5)

    def __check_init__(self) -> None:
        check_within(self, "rate", 0.0)
        check_within(self, "updates", 0.0, least_excluded=True)
        check_within(self, "longest", 0.0, least_excluded=True)

    def init(self, weights: Any) -> Any:
        """What it remembers, before the first step."""
        return self._adam().init(weights)

    def ascend(self, weights: Weights, memory: Any, gradient: Weights, update: Array | float) -> tuple[Weights, Any]:
        """One step uphill, in the given update of all."""
        norm = optax.tree.norm(gradient)
        cut = jax.tree.map(lambda g: g * jnp.minimum(1.0, self.longest / jnp.maximum(norm, 1e-12)), gradient)
        direction, remembered = self._adam().update(cut, memory)
        rate = self.rate * left(update, self.updates)
        moved = jax.tree.map(lambda w, d: w + rate * d, weights, direction)
        return jax.tree.map(
            lambda new, old: jnp.where(jnp.isfinite(norm), new, old), (moved, remembered), (weights, memory)
        )

    def _adam(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(eps=self.epsilon)


def left(update: Array | float, updates: Array | float) -> Array:
    """The share that is left, in the given update, of what falls linearly to zero in so many; infinite: all."""
    return jnp.maximum(1.0 - update / updates, 0.0)


def check_minibatches(name: str, minibatches: int, envs: int, length: int) -> None:
    """Raises `InputError` where the steps of an update cannot be divided into so many minibatches."""
    if not 1 <= minibatches <= envs * length:
        raise InputError(
            f"{name} must be between 1 and the {envs * length} steps of an update ({envs} environments x {length} "
            f"steps), got {minibatches}"
        )


def shuffled(key: PRNGKeyArray, count: int, epochs: int, minibatches: int) -> Array:
    """Indices of minibatches, each epoch a fresh division of `count` rows; leading axis epochs x minibatches.

    Rows that do not come out even are left out of an epoch, each time others.
    """
    size = count // minibatches
    # Random words whose last bits are the row: one sort of single words is many times faster than `permutation`. Rows
    # whose other bits are the same keep their order, which among 2**14 rows happens to a pair once in 2**18.
    rows = jnp.uint32(2 ** (count - 1).bit_length() - 1)
    words = jax.random.bits(key, (epochs, count), jnp.uint32) & ~rows | jnp.arange(count, dtype=jnp.uint32)
    orders = (jnp.sort(words, axis=-1) & rows).astype(int)
    return orders[:, : size * minibatches].reshape(epochs * minibatches, size)
