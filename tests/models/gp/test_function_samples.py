"""Functions drawn from a posterior: their mean and covariance are the posterior's."""

import jax
import jax.numpy as jnp
import numpy as np

from handful.models.gp.function_samples import FunctionSample
from handful.models.gp.posterior import Posterior
from models.gp.processes import GIVEN, LENGTHSCALES, covariance_of, one, rows_of

SAMPLES = 2500
QUERIES = jnp.asarray(np.random.default_rng(8).normal(0.1, 1.5, (6, 3)), jnp.float32)


@jax.jit
def drawn(keys, posterior):
    def values(key):
        return jax.vmap(FunctionSample.draw(key, posterior, 128))(QUERIES)

    return jax.lax.map(values, keys, batch_size=100)


def test_mean_and_covariance_are_the_posteriors(kernel):
    """A mean is off by 5.5 of its stds in 4e-8 of runs; a std is known to 1.4 %, and off by 8 % in 2e-8 of runs.

    24 comparisons of each kind. One std of room is left to Fourier features, whose prior draw is not quite Gaussian.
    """
    covariance, (inputs, targets) = covariance_of(kernel, jnp.float32), rows_of(25, jnp.float32)
    mask = jnp.ones(25).at[jnp.array([4, 9])].set(0.0)
    posterior = GIVEN(covariance, inputs, targets, mask)
    values = np.asarray(drawn(jax.random.split(jax.random.key(5), SAMPLES), posterior), float)
    mean, variance = jax.vmap(posterior.mean_and_variance)(QUERIES)
    np.testing.assert_array_less(np.abs(values.mean(0) - mean), 5.5 * np.sqrt(variance / SAMPLES))
    np.testing.assert_allclose(values.std(0), np.sqrt(variance), rtol=0.08)
    kept = np.flatnonzero(mask)
    for index in range(2):
        c = jax.tree.map(lambda leaf: np.asarray(leaf, float), one(covariance, index))
        matrix = np.asarray(c.kernel(inputs, inputs), float)[np.ix_(kept, kept)] + float(c.diagonal) * np.eye(len(kept))
        across = np.asarray(c.kernel(QUERIES, inputs), float)[:, kept]
        expected = np.asarray(c.kernel(QUERIES, QUERIES), float) - across @ np.linalg.solve(matrix, across.T)
        scale = np.sqrt(np.diag(expected))
        correlation = np.corrcoef(values[:, :, index].T)
        # a correlation of 2500 pairs has a std below 0.02
        np.testing.assert_allclose(correlation, expected / scale[:, None] / scale, atol=0.1)
    between = np.corrcoef(values[:, :, 0].T, values[:, :, 1].T)[:6, 6:]
    np.testing.assert_allclose(between, 0, atol=0.1)  # outputs are drawn independently


def test_a_sample_is_its_formula():
    """In NumPy, from its own frequencies, amplitudes and correction."""
    from handful.models.gp.kernels import SquaredExponential

    covariance, (inputs, targets) = covariance_of(SquaredExponential, jnp.float32), rows_of(9, jnp.float32)
    posterior = GIVEN(covariance, inputs, targets, jnp.ones(9))
    sample = FunctionSample.draw(jax.random.key(3), posterior, 10)
    assert sample.frequencies.shape == (2, 5, 3)
    query = np.asarray(QUERIES[2], float)
    for index in range(2):
        phase = np.asarray(sample.frequencies[index], float) @ query
        cosines, sines = np.asarray(sample.amplitudes[index], float)
        gaps = (np.asarray(inputs, float) - query) / np.exp(
            np.asarray(covariance.kernel.log_lengthscales[index], float)
        )
        alike = np.exp(2 * float(covariance.kernel.log_std[index]) - 0.5 * (gaps**2).sum(1))
        expected = cosines @ np.cos(phase) + sines @ np.sin(phase) + alike @ np.asarray(sample.correction[index], float)
        np.testing.assert_allclose(sample(QUERIES[2])[index], expected, rtol=1e-4, atol=1e-4)


def test_frequencies_are_drawn_anew_for_every_sample_and_output():
    from handful.models.gp.kernels import Matern52

    posterior = Posterior.empty(covariance_of(Matern52, jnp.float32), 4)
    samples = [FunctionSample.draw(key, posterior, 8) for key in jax.random.split(jax.random.key(1), 2)]
    drawn = np.concatenate([np.ravel(s.frequencies * LENGTHSCALES[:, None]) for s in samples])
    assert len(np.unique(np.round(drawn, 6))) == 2 * 2 * 4 * 3
