"""Factorisations that are safe and quick on a CPU.

Those by LAPACK run one after the other under `vmap`. jaxlib 0.10 distributes a batch of matrices over the threads of
XLA's pool and waits for them on a thread of the same pool: once all threads wait, in independent factorisations or in
devices that share the pool, the program never returns. A single matrix is not distributed, and jaxlib 0.11 distributes
none.

`inverse_cholesky` needs matrix products alone. A LAPACK call inside an XLA program starts its own threads, which
compete with those of XLA for the cores: on two cores the factorisation of a 500 x 500 matrix took between 1 and 140 ms.
Products and a short loop take the same time in every call, and run on every device.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Float, Key, PRNGKeyArray

BLOCK = 32  # side of the blocks that are factored row by row

_product = partial(jnp.matmul, precision="highest")


def orthogonal(key: PRNGKeyArray, shape: tuple[int, int], scale: float) -> Float[Array, "i o"]:
    """A random matrix with orthogonal rows or columns, whichever are fewer, times `scale`."""

    @sequential_vmap
    def draw(key: Key[Array, ""]) -> Float[Array, "i o"]:
        return jax.nn.initializers.orthogonal(scale)(key, shape)

    return draw(key)


@sequential_vmap
def qr_factor(matrix: Float[Array, "r c"]) -> Float[Array, "k c"]:
    """R of the matrix's QR decomposition; the signs of its rows are arbitrary."""
    return jnp.linalg.qr(matrix, mode="r")


@sequential_vmap
def solve_triangular(upper: Float[Array, "n n"], right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """`upper^-1 right`; entries below the diagonal are ignored."""
    return jax.scipy.linalg.solve_triangular(upper, right)


@sequential_vmap
def solve_positive(matrix: Float[Array, "n n"], right: Float[Array, "n *k"]) -> Float[Array, "n *k"]:
    """`matrix^-1 right` of a symmetric matrix; not finite if it is not positive definite."""
    return jax.scipy.linalg.solve(matrix, right, assume_a="pos")


@sequential_vmap
def eigh(matrix: Float[Array, "n n"]) -> tuple[Float[Array, "n"], Float[Array, "n n"]]:
    """Eigenvalues in ascending order, and eigenvectors of a symmetric matrix."""
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


def inverse_cholesky(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """`W = L^-1`, lower triangular, where `L L^T` is the matrix: `W matrix W^T = 1`, `W^T W` is the inverse.

    Not finite if the matrix is not positive definite to machine precision.

    Halves are factored recursively, one after the other: `L21 = A21 W11^T`, `W21 = -W22 L21 W11`.
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


def inverse_of(factor: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """`W^T W`, the inverse of the matrix that `inverse_cholesky` factored; zeros above the diagonal are skipped."""
    size = factor.shape[0]
    if size <= 4 * BLOCK:
        return _product(factor.T, factor)
    half = size // 2
    first, below, last = factor[:half, :half], factor[half:, :half], factor[half:, half:]
    corner, side = inverse_of(first) + _product(below.T, below), _product(last.T, below)
    return jnp.concatenate(
        [jnp.concatenate([corner, side.T], axis=1), jnp.concatenate([side, inverse_of(last)], axis=1)], axis=0
    )


def _by_rows(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Elimination on the matrix beside the identity: the operations that turn the matrix into L^T turn 1 into W."""
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
