"""Rows and covariances that the tests of Gaussian processes share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from handful.models.gp.kernels import Covariance, Matern52, SquaredExponential
from handful.models.gp.posterior import Posterior

KERNELS = {"SquaredExponential": SquaredExponential, "Matern52": Matern52}
LENGTHSCALES = np.array([[0.8, 2.1, 1.4], [3.0, 0.7, 1.1]])
STDS, NOISES = np.array([1.3, 0.6]), np.array([0.15, 0.09])

GIVEN = jax.jit(Posterior.given)


def covariance_of(kernel, dtype):
    """Two outputs on three inputs, differing in everything."""
    lengthscales, stds, noises = (jnp.asarray(np.log(x), dtype) for x in (LENGTHSCALES, STDS, NOISES))
    return _covariances(kernel, lengthscales, stds, noises)


@functools.partial(jax.jit, static_argnums=0)
def _covariances(kernel, *numbers):
    return jax.vmap(lambda lengthscales, std, noise: Covariance(kernel(lengthscales, std), noise))(*numbers)


def rows_of(count, dtype, seed=3):
    """Inputs and targets."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(0.2, 1.1, (count, 3))
    smooth = np.stack([np.sin(inputs @ [0.9, 0.4, -0.3]), 0.5 * np.cos(inputs @ [0.2, 1.1, 0.5])], axis=1)
    return jnp.asarray(inputs, dtype), jnp.asarray(smooth + NOISES * rng.normal(size=(count, 2)), dtype)


@functools.partial(jax.jit, static_argnums=1)
def one(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def tinygp_of(covariance, index, inputs):
    """The same process in another library, with our guards in its noise."""
    import tinygp

    kernel = covariance.kernel
    euclidean = tinygp.kernels.distance.L2Distance()  # its default for Matern kernels is the sum of absolutes
    shape = {
        SquaredExponential: tinygp.kernels.ExpSquared(),
        Matern52: tinygp.kernels.Matern52(distance=euclidean),
    }[type(kernel)]
    scaled = tinygp.transforms.Linear(jnp.exp(-kernel.log_lengthscales[index]), shape)
    return tinygp.GaussianProcess(
        jnp.exp(2 * kernel.log_std[index]) * scaled, inputs, diag=one(covariance, index).diagonal
    )
