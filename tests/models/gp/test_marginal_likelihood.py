"""The objective of a fit: values and gradients against tinygp, priors against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from handful.models.gp.kernels import Matern52, SquaredExponential, guards
from handful.models.gp.marginal_likelihood import LogNormal, Priors, neg_log_marginal_likelihood
from models.gp.processes import covariance_of, one, rows_of, tinygp_of

COUNT = 41


def test_value_and_gradient_against_tinygp(kernel):
    """In float64, where the squared distances by a product are exact to 1e-15 and condition numbers below 1e4."""
    with jax.enable_x64(True):
        covariance, (inputs, targets) = covariance_of(kernel, jnp.float64), rows_of(COUNT, jnp.float64)
        for index in range(2):

            def theirs(covariance, index=index):
                return -tinygp_of(covariance, index, inputs).log_probability(targets[:, index])

            def ours(covariance, index=index):
                matrix = one(covariance, index).matrix(inputs, jnp.ones(COUNT))
                return neg_log_marginal_likelihood(matrix, targets[:, index]) + COUNT / 2 * jnp.log(2 * jnp.pi)

            (value, gradient), (expected, slope) = (jax.jit(jax.value_and_grad(f))(covariance) for f in (ours, theirs))
            np.testing.assert_allclose(value, expected, rtol=1e-10)
            for left, right in zip(jax.tree.leaves(gradient), jax.tree.leaves(slope), strict=True):
                np.testing.assert_allclose(left[index], right[index], rtol=1e-7, atol=1e-7)
                assert np.all(left[index] != 0)


def test_gradient_by_the_targets():
    """`K^-1 y`, by NumPy."""
    matrix = np.array([[2.0, 0.3, -0.1], [0.3, 1.5, 0.4], [-0.1, 0.4, 1.1]])
    targets = np.array([0.7, -1.2, 0.4])
    slope = jax.jit(jax.grad(neg_log_marginal_likelihood, argnums=1))
    gradient = slope(np.float32(matrix), np.float32(targets))
    np.testing.assert_allclose(gradient, np.linalg.solve(matrix, targets), rtol=1e-5)


def test_padding_counts_for_nothing(kernel):
    covariance = one(covariance_of(kernel, jnp.float32), 0)
    inputs, targets = (np.asarray(rows) for rows in rows_of(COUNT, jnp.float32))
    mask = np.ones(COUNT, np.float32)
    mask[[3, 17, 40]] = 0.0
    kept = np.flatnonzero(mask)

    @jax.jit
    @jax.value_and_grad
    def value(covariance, inputs, targets, mask):
        return neg_log_marginal_likelihood(covariance.matrix(inputs, mask), targets * mask)

    padded = value(covariance, inputs, targets[:, 0], mask)
    bare = value(covariance, inputs[kept], targets[kept, 0], mask[kept])
    # float32 sums of 40 terms of size 100 in another order
    for left, right in zip(jax.tree.leaves(padded), jax.tree.leaves(bare), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-3)


def test_the_guards_follow_the_type():
    assert guards(jnp.dtype("float32")) == (1e-2, 1e-5)
    assert guards(jnp.dtype("float64")) == (1e-4, 1e-8)
    silent = Priors().medians(SquaredExponential, 3)
    silent = one(jax.tree.map(lambda leaf: leaf[None], silent), 0)
    silent = type(silent)(silent.kernel, jnp.asarray(-50.0))  # a noise std of 2e-22
    np.testing.assert_allclose(silent.noise_variance, 1e-4, rtol=1e-5)
    np.testing.assert_allclose(silent.diagonal, 1.1e-4, rtol=1e-5)


def test_priors_against_scipy():
    """Up to the constant, which the difference of two points takes out."""
    prior = LogNormal(2.0, 0.7)
    points = np.array([0.5, 3.1])
    exact = -scipy.stats.norm.logpdf(np.log(points), np.log(2.0), 0.7)
    ours = [prior.neg_log_prob(jnp.log(point)) for point in points]
    np.testing.assert_allclose(ours[1] - ours[0], exact[1] - exact[0], rtol=1e-5)
    covariance = one(covariance_of(Matern52, jnp.float32), 0)
    priors = Priors(LogNormal(2.0, 0.7), LogNormal(0.9, 0.5), LogNormal(0.2, 1.1))
    expected = sum((np.log(x) - np.log(2.0)) ** 2 / 0.49 for x in (0.8, 2.1, 1.4)) / 2
    expected += (np.log(1.3) - np.log(0.9)) ** 2 / 0.25 / 2 + (np.log(0.15 / 1.3) - np.log(0.2)) ** 2 / 1.21 / 2
    np.testing.assert_allclose(priors.neg_log_prob(covariance), expected, rtol=1e-5)
    assert priors.neg_log_prob(priors.medians(Matern52, 3)) == 0


def test_draws_follow_the_priors():
    """Of 4000 draws, a median or spread off by 0.1 of a spread: six stds of either, in 2e-9 of runs."""
    priors = Priors(LogNormal(2.0, 0.7), LogNormal(0.9, 0.5), LogNormal(0.2, 1.1))
    like = one(covariance_of(Matern52, jnp.float32), 0)
    draws = jax.jit(lambda key: jax.vmap(lambda key: priors.draw(key, like))(jax.random.split(key, 4000)))(
        jax.random.key(2)
    )
    assert type(draws.kernel) is Matern52
    ratio = draws.log_noise - draws.kernel.log_std
    for values, median, spread in (
        (draws.kernel.log_lengthscales[:, 1], 2.0, 0.7),
        (draws.kernel.log_std, 0.9, 0.5),
        (ratio, 0.2, 1.1),
    ):
        np.testing.assert_allclose(np.mean(values), np.log(median), atol=0.1 * spread)
        np.testing.assert_allclose(np.std(values), spread, rtol=0.1)
