"""Moments of a Gaussian sent through a posterior, against Monte Carlo in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.models.gp.kernels import Matern52, SquaredExponential
from handful.models.gp.moment_matching import matched_moments
from handful.models.gp.posterior import Posterior
from models.gp.processes import GIVEN, covariance_of, rows_of

SAMPLES = 300_000
MEAN = np.array([0.5, 0.2, 0.4])
ROOT = np.array([[0.5, 0.0, 0.0], [0.2, 0.4, 0.0], [-0.3, 0.1, 0.6]])


def test_against_monte_carlo():
    """The means' stds are below 0.45: averages of 300,000 of them, or of products of two, have a std below 8e-4,
    and are off by 0.004 in 6e-7 of runs. There are 12 comparisons.
    """
    with jax.enable_x64(True):
        covariance, (inputs, targets) = covariance_of(SquaredExponential, jnp.float64), rows_of(22, jnp.float64)
        mask = jnp.ones(22).at[jnp.array([2, 13])].set(0.0)
        posterior = GIVEN(covariance, inputs, targets, mask)
        ours = jax.jit(matched_moments)(posterior, jnp.asarray(MEAN), jnp.asarray(ROOT @ ROOT.T))
        draws = MEAN + np.random.default_rng(4).normal(size=(SAMPLES, 3)) @ ROOT.T
        at = jax.jit(lambda queries: jax.lax.map(posterior.mean_and_variance, queries, batch_size=500))
        mean, variance = (np.asarray(value) for value in at(jnp.asarray(draws)))
        np.testing.assert_allclose(ours.mean, mean.mean(0), atol=0.004)
        expected = np.cov(mean.T) + np.diag(variance.mean(0))
        np.testing.assert_allclose(ours.cov, expected, atol=0.004)
        across = (draws - MEAN).T @ (mean - mean.mean(0)) / SAMPLES
        np.testing.assert_allclose(ours.input_cov, across, atol=0.004)
        assert np.abs(expected[0, 1]) > 0.015, "outputs vary together, or the test says nothing of it"
        assert np.abs(across).max() > 0.1


def test_at_a_point_it_is_the_posterior():
    """With an input that is certain the moments are mean and variance, and nothing varies together."""
    with jax.enable_x64(True):
        covariance, (inputs, targets) = covariance_of(SquaredExponential, jnp.float64), rows_of(22, jnp.float64)
        posterior = GIVEN(covariance, inputs, targets, jnp.ones(22))
        ours = jax.jit(matched_moments)(posterior, jnp.asarray(MEAN), jnp.zeros((3, 3)))
        mean, variance = jax.jit(lambda posterior, x: posterior.mean_and_variance(x))(posterior, jnp.asarray(MEAN))
        np.testing.assert_allclose(ours.mean, mean, rtol=1e-10)
        np.testing.assert_allclose(ours.cov, np.diag(variance), atol=1e-9)
        np.testing.assert_array_equal(ours.input_cov, 0)


def test_single_precision_is_refused():
    posterior = Posterior.empty(covariance_of(SquaredExponential, jnp.float32), 4)
    with pytest.raises(InputError, match="in float64, got float32"):
        matched_moments(posterior, jnp.zeros(3), jnp.eye(3))


def test_another_kernel_is_refused():
    posterior = Posterior.empty(covariance_of(Matern52, jnp.float32), 4)
    with pytest.raises(InputError, match="SquaredExponential kernel, got Matern52"):
        matched_moments(posterior, jnp.zeros(3), jnp.eye(3))
