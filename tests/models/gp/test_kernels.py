"""Kernels against their formulas, and their spectral densities against the kernels."""

import jax
import jax.numpy as jnp
import numpy as np

from handful.models.gp.kernels import SquaredExponential
from models.gp.processes import LENGTHSCALES, STDS, covariance_of, one, rows_of


def direct(kernel, left, right):
    """In NumPy, float64, entry by entry."""
    gaps = (np.asarray(left, float)[:, None] - np.asarray(right, float)) / LENGTHSCALES[0]
    r = np.sqrt((gaps**2).sum(-1))
    if kernel is SquaredExponential:
        return STDS[0] ** 2 * np.exp(-(r**2) / 2)
    return STDS[0] ** 2 * (1 + np.sqrt(5) * r + 5 / 3 * r**2) * np.exp(-np.sqrt(5) * r)


def test_against_the_formula(kernel):
    left, right = rows_of(7, jnp.float32)[0], rows_of(5, jnp.float32, seed=9)[0]
    ours = jax.jit(lambda c, left, right: c.kernel(left, right))(
        one(covariance_of(kernel, jnp.float32), 0), left, right
    )
    # squared distances of about 10 by a product of float32 are off by 1e-6 each
    np.testing.assert_allclose(ours, direct(kernel, left, right), atol=5e-6)


def test_draws_from_the_spectral_density_make_the_kernel(kernel):
    """The mean of 200,000 cosines of variance below 1/2 is off by 0.008, five of its stds, in 6e-7 of runs."""
    ours = one(covariance_of(kernel, jnp.float32), 0).kernel
    draw = jax.jit(lambda kernel, key: kernel.frequencies(key, 200_000))
    frequencies = np.asarray(draw(ours, jax.random.key(4)), float)
    for gap in np.array([[0.3, 0.2, -0.4], [1.1, -0.6, 0.5], [0.2, 2.5, 1.9]]):
        expected = direct(kernel, gap[None], np.zeros((1, 3))).item() / STDS[0] ** 2
        np.testing.assert_allclose(np.cos(frequencies @ gap).mean(), expected, atol=0.008)


def test_gradients_are_finite_where_two_inputs_are_one(kernel):
    ours = one(covariance_of(kernel, jnp.float32), 0).kernel
    point = jnp.array([[0.4, -1.2, 2.0]])
    gradients = jax.jit(jax.grad(lambda kernel, x: kernel(x, point).sum(), argnums=(0, 1)))(ours, point)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    np.testing.assert_allclose(gradients[0].log_std, 2 * STDS[0] ** 2, rtol=1e-5)
