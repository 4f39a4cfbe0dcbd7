"""Random minibatches of a rollout."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from handful.errors import InputError


def check_minibatches(name: str, minibatches: int, num_envs: int, num_steps: int) -> None:
    """Raises `InputError` if a rollout cannot be divided into so many minibatches."""
    if not 1 <= minibatches <= num_envs * num_steps:
        raise InputError(
            f"{name} must be between 1 and the {num_envs * num_steps} steps of an update ({num_envs} environments x "
            f"{num_steps} steps), got {minibatches}"
        )


def shuffled(key: PRNGKeyArray, count: int, epochs: int, minibatches: int) -> Array:
    """Row indices of minibatches; leading axis epochs x minibatches. Each epoch is a new permutation of `count` rows.

    If `count` is not divisible by `minibatches`, each epoch leaves out a random remainder.
    """
    size = count // minibatches
    # Random words whose last bits are the row: one sort of single words is many times faster than `permutation`. Rows
    # whose other bits are equal keep their order, which among 2**14 rows happens to a pair once in 2**18.
    rows = jnp.uint32(2 ** (count - 1).bit_length() - 1)
    words = jax.random.bits(key, (epochs, count), jnp.uint32) & ~rows | jnp.arange(count, dtype=jnp.uint32)
    orders = (jnp.sort(words, axis=-1) & rows).astype(int)
    return orders[:, : size * minibatches].reshape(epochs * minibatches, size)
