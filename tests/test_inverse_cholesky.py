"""The inverse Cholesky factor against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.linalg import BLOCK, inverse_cholesky, inverse_of


def positive(size, seed=0):
    root = np.random.default_rng(seed).normal(size=(size, size + 3))
    return root @ root.T / size + 0.3 * np.eye(size)


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK + 1, 3 * BLOCK - 5, 4 * BLOCK + 7])
def test_against_numpy(size):
    matrix = positive(size)
    expected = np.linalg.inv(np.linalg.cholesky(matrix))
    white = jax.jit(inverse_cholesky)(jnp.asarray(matrix, jnp.float32))
    # float32 rounding (6e-8) times the condition, below 50, of the factor, times a few
    np.testing.assert_allclose(white, expected, atol=3e-5)
    np.testing.assert_array_equal(np.triu(white, 1), 0)
    np.testing.assert_allclose(jax.jit(inverse_of)(white), np.linalg.inv(matrix), atol=1e-4)


def test_no_finite_answer_where_the_matrix_is_not_positive_definite():
    """Neither in the first block nor in a later one, and without an exception."""
    for row in (3, BLOCK + 20):
        matrix = positive(2 * BLOCK)
        matrix[row, row] = -0.5
        assert not np.isfinite(jax.jit(inverse_cholesky)(jnp.asarray(matrix, jnp.float32))).all()


def test_batches_are_loops():
    matrices = jnp.asarray(np.stack([positive(40, 1), positive(40, 2)]), jnp.float32)
    for white, matrix in zip(jax.jit(jax.vmap(inverse_cholesky))(matrices), matrices, strict=True):
        np.testing.assert_allclose(white, jax.jit(inverse_cholesky)(matrix), atol=1e-5)
