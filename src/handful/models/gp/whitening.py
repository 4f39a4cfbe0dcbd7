"""The inverse Cholesky factor, in matrix products alone.

A LAPACK call inside an XLA program brings its own threads, which fight with XLA's for the cores: on two cores the
factorisation of a 500 x 500 matrix took between 1 and 140 ms. Products and a short loop take as long every time, and
run the same on every device.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

BLOCK = 32  # side of the blocks that are factored row by row

_product = partial(jnp.matmul, precision="highest")


def inverse_cholesky(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """`W = L^-1`, lower triangular, where `L L^T` is the matrix: `W matrix W^T = 1`, `W^T W` is the inverse.

    Not finite where the matrix is not positive definite to machine precision.

    Halves are factored one after the other, `L21 = A21 W11^T`, `W21 = -W22 L21 W11`, and each in the same way.
    """
    size = matrix.shape[0]
    if size <= BLOCK:
        return _by_rows(matrix)
    half = -(-size // (2 * BLOCK)) * BLOCK
    first = inverse_cholesky(matrix[:half, :half])
    across = _product(matrix[half:, :half], first.T)
    last = inverse_cholesky(matrix[half:, half:] - _product(across, across.T))
    below = -_product(last, _product(across, first))
    return _lower(first, below, last)


def inverse(white: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """`W^T W`, leaving out the products with the zeros above the diagonal of W."""
    size = white.shape[0]
    if size <= 4 * BLOCK:
        return _product(white.T, white)
    half = size // 2
    first, below, last = white[:half, :half], white[half:, :half], white[half:, half:]
    corner, side = inverse(first) + _product(below.T, below), _product(last.T, below)
    return jnp.concatenate(
        [jnp.concatenate([corner, side.T], axis=1), jnp.concatenate([side, inverse(last)], axis=1)], axis=0
    )


def _by_rows(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Elimination on the matrix with the identity beside it: what turns the matrix into L^T turns 1 into W."""
    size = matrix.shape[0]
    rows = jnp.arange(size)[:, None]

    def eliminate(index: Array, both: Float[Array, "n 2*n"]) -> Float[Array, "n 2*n"]:
        pivot_row = jax.lax.dynamic_slice_in_dim(both, index, 1, axis=0)
        pivot_row = pivot_row / jnp.sqrt(jax.lax.dynamic_slice_in_dim(pivot_row, index, 1, axis=1))
        factors = jnp.where(rows > index, pivot_row[:, :size].T, 0.0)
        return jnp.where(rows == index, pivot_row, both - factors * pivot_row)

    beside = jnp.concatenate([matrix, jnp.eye(size, dtype=matrix.dtype)], axis=1)
    return jnp.tril(jax.lax.fori_loop(0, size, eliminate, beside)[:, size:])


def _lower(first: Float[Array, "m m"], below: Float[Array, "k m"], last: Float[Array, "k k"]) -> Float[Array, "n n"]:
    above = jnp.zeros((first.shape[0], last.shape[0]), first.dtype)
    return jnp.concatenate([jnp.concatenate([first, above], axis=1), jnp.concatenate([below, last], axis=1)], axis=0)
