"""Factorisations that stay apart under `vmap`: each matrix on its own, one after the other.

jaxlib 0.10 shares a batch of matrices out to the threads of XLA's pool, and waits for them on a thread of that pool.
Once all of its threads wait so, in independent factorisations or in devices that share the pool, nobody is left to do
the work and the program never returns; with two cores that does not take long. A matrix alone is never shared out, and
jaxlib 0.11 shares none.
"""

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Float, Key, PRNGKeyArray


def orthogonal(key: PRNGKeyArray, shape: tuple[int, int], scale: float) -> Float[Array, "i o"]:
    """A random matrix with orthogonal rows or columns, whichever are fewer, times `scale`."""

    @sequential_vmap
    def draw(key: Key[Array, ""]) -> Float[Array, "i o"]:
        return jax.nn.initializers.orthogonal(scale)(key, shape)

    return draw(key)


@sequential_vmap
def qr_factor(matrix: Float[Array, "r c"]) -> Float[Array, "k c"]:
    """R of the matrix's QR decomposition; the signs of its rows are free."""
    return jnp.linalg.qr(matrix, mode="r")


@sequential_vmap
def solve_triangular(upper: Float[Array, "n n"], right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """`upper^-1 right`; what stands below the diagonal is not looked at."""
    return jax.scipy.linalg.solve_triangular(upper, right)


@sequential_vmap
def solve_positive(matrix: Float[Array, "n n"], right: Float[Array, "n *k"]) -> Float[Array, "n *k"]:
    """`matrix^-1 right` of a symmetric positive definite matrix; not finite where it is none."""
    return jax.scipy.linalg.solve(matrix, right, assume_a="pos")


@sequential_vmap
def eigh(matrix: Float[Array, "n n"]) -> tuple[Float[Array, "n"], Float[Array, "n n"]]:
    """Eigenvalues, rising, and eigenvectors of a symmetric matrix."""
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors
