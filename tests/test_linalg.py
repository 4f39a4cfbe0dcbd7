"""Factorisations one by one: the same answers as JAX's own, and programs that return."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from handful import linalg

MANY = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(np.float32)
POSITIVE = MANY @ np.swapaxes(MANY, 1, 2) + np.eye(4, dtype=np.float32)


def test_triangles_and_positive_matrices_are_solved():
    right = MANY[:, :, :2]
    upper = np.triu(POSITIVE)
    told = jax.vmap(linalg.solve_triangular)(POSITIVE, right)
    np.testing.assert_allclose(told, np.linalg.solve(upper, right), rtol=1e-4, atol=1e-5)
    told = jax.vmap(linalg.solve_positive)(POSITIVE, right[:, :, 0])
    np.testing.assert_allclose(told[..., None], np.linalg.solve(POSITIVE, right[:, :, :1]), rtol=1e-3, atol=1e-4)


def test_what_is_factored_multiplies_to_the_matrix():
    factor = np.asarray(jax.vmap(linalg.qr_factor)(MANY))
    np.testing.assert_allclose(np.swapaxes(factor, 1, 2) @ factor, np.swapaxes(MANY, 1, 2) @ MANY, atol=1e-4)
    values, vectors = map(np.asarray, jax.vmap(linalg.eigh)(POSITIVE))
    np.testing.assert_allclose((vectors * values[:, None]) @ np.swapaxes(vectors, 1, 2), POSITIVE, atol=1e-4)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_orthogonal_matrices_are_jax_own_under_any_vmap(shape):
    keys = jax.random.split(jax.random.key(3), 4)
    own = jax.nn.initializers.orthogonal(2.0)
    told = jax.vmap(lambda key: linalg.orthogonal(key, shape, 2.0))(keys)
    for key, matrix in zip(keys, told, strict=True):
        np.testing.assert_array_equal(matrix, own(key, shape))
        small = min(shape)
        product = matrix.T @ matrix if shape[1] == small else matrix @ matrix.T
        np.testing.assert_allclose(product, 4 * np.eye(small), atol=1e-5)


CROWD = """
import jax, jax.numpy as jnp
from handful.linalg import solve_positive, solve_triangular

def body(_, x):
    shared = jnp.tanh(x @ jnp.full((64, 64), 0.01))  # large enough for XLA to share it out to its threads
    batches = shared[: 3 * 16 * 64].reshape(3, 16, 64, 64) + 10 * jnp.eye(64)
    told = [jax.vmap(solve)(batch, batch) for solve in (solve_triangular, solve_positive) for batch in batches]
    added = sum(jnp.concatenate(each).reshape(-1, 64) for each in (told[:3], told[3:]))
    return x.at[: 3 * 16 * 64].add(1e-9 * added)

jax.block_until_ready(jax.jit(lambda x: jax.lax.fori_loop(0, 400, body, x))(jnp.ones((4096, 64))))
print("returned")
"""


def test_many_at_once_return():
    """With jaxlib 0.10 and few cores, JAX's own hang in this program within its first 400 turns."""
    told = subprocess.run(
        [sys.executable, "-c", CROWD],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        check=True,
    )
    assert told.stdout.strip() == "returned"
