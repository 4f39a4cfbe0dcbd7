"""Which rows to keep where there are more than an exact posterior can carry."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def spread_out(
    inputs: Float[Array, "capacity i"], valid: Bool[Array, "capacity"], most: int
) -> tuple[Int[Array, "{most}"], Bool[Array, "{most}"]]:
    """The indices of `most` valid rows that cover the others, best first, and which of these indices hold a row.

    The first is the row farthest from the centre; each next one is the row farthest from all taken before, the first
    of equals. So a row equal to one taken comes after all that differ, and the first rows of the answer are themselves
    spread out. With `most` rows or fewer all are taken.

    Source: [Gonzalez85]. Deviates: starts far out instead of anywhere.
    """
    centre = jnp.sum(jnp.where(valid[:, None], inputs, 0.0), axis=0) / jnp.maximum(valid.sum(), 1)
    outermost = jnp.argmax(jnp.where(valid, jnp.sum((inputs - centre) ** 2, axis=1), -jnp.inf))

    def take(place: Int[Array, ""], carry: tuple) -> tuple:
        gap, order = carry
        row = jnp.where(place == 0, outermost, jnp.argmax(gap))
        square = jnp.sum((inputs - inputs[row]) ** 2, axis=1)
        return jnp.minimum(gap, square).at[row].set(-jnp.inf), order.at[place].set(row)

    # minus infinity: not to be taken, or taken already
    gap = jnp.where(valid, jnp.inf, -jnp.inf).astype(inputs.dtype)
    _, order = jax.lax.fori_loop(0, most, take, (gap, jnp.zeros(most, int)))
    return order, jnp.arange(most) < valid.sum()
