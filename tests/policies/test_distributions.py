"""Distributions against SciPy, numerical integrals and automatic differentiation."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from handful.policies.distributions import Categorical, Gaussian

GAUSSIAN = Gaussian(jnp.array([0.4, -1.7, 2.1]), jnp.array([-0.6, 0.3, 0.9]))
OTHER = Gaussian(jnp.array([0.9, -1.1, 1.2]), jnp.array([-0.2, 0.5, 0.4]))
CATEGORICAL = Categorical(jnp.array([0.3, -1.2, 1.9, 0.8]))
ANOTHER = Categorical(jnp.array([1.3, -0.2, 0.4, -0.9]))
KEYS = jax.random.split(jax.random.key(4), 4000)


def test_gaussian_log_prob_and_entropy_against_scipy():
    normal = scipy.stats.norm(np.asarray(GAUSSIAN.mean, float), np.exp(np.asarray(GAUSSIAN.log_std, float)))
    choice = np.array([0.1, -2.9, 4.0])
    np.testing.assert_allclose(GAUSSIAN.log_prob(jnp.asarray(choice)), normal.logpdf(choice).sum(), rtol=1e-5)
    np.testing.assert_allclose(GAUSSIAN.entropy(), normal.entropy().sum(), rtol=1e-5)


def test_gaussian_kl_against_the_integral():
    grid = np.linspace(-25.0, 25.0, 200_001)
    total = 0.0
    for mean, log_std, m, s in zip(GAUSSIAN.mean, GAUSSIAN.log_std, OTHER.mean, OTHER.log_std, strict=True):
        here = scipy.stats.norm(float(mean), np.exp(float(log_std)))
        there = scipy.stats.norm(float(m), np.exp(float(s)))
        total += np.sum(here.pdf(grid) * (here.logpdf(grid) - there.logpdf(grid))) * (grid[1] - grid[0])
    np.testing.assert_allclose(GAUSSIAN.kl(OTHER), total, rtol=1e-5)
    assert GAUSSIAN.kl(GAUSSIAN) == 0


def test_categorical_against_scipy():
    p, q = (scipy.special.softmax(np.asarray(each.logits, float)) for each in (CATEGORICAL, ANOTHER))
    np.testing.assert_allclose([CATEGORICAL.log_prob(row) for row in jnp.eye(4)], np.log(p), rtol=1e-5)
    np.testing.assert_allclose(CATEGORICAL.entropy(), scipy.stats.entropy(p), rtol=1e-5)
    np.testing.assert_allclose(CATEGORICAL.kl(ANOTHER), scipy.stats.entropy(p, q), rtol=1e-5)


def test_a_category_that_is_all_but_impossible_leaves_everything_finite():
    sure = Categorical(jnp.array([200.0, -200.0, 0.0]))
    known = (sure.entropy(), sure.kl(Categorical(jnp.array([0.1, 0.2, -0.4]))), sure.log_prob(jnp.eye(3)[1]))
    assert jnp.isfinite(jnp.stack(known)).all()


@pytest.mark.parametrize("one", [GAUSSIAN, CATEGORICAL])
def test_fisher_is_the_second_derivative_of_kl_at_zero(one):
    flat, unravel = jax.flatten_util.ravel_pytree(one)
    hessian = eqx.filter_jit(jax.hessian(lambda other: one.kl(unravel(other))))(flat)
    products = jax.vmap(lambda v: jax.flatten_util.ravel_pytree(one.fisher(unravel(v)))[0])(jnp.eye(flat.size))
    np.testing.assert_allclose(products, hessian, rtol=1e-4, atol=1e-5)


def test_draws_follow_the_density():
    """4000 draws; five standard errors, a false alarm in a million."""
    drawn = np.asarray(jax.jit(jax.vmap(GAUSSIAN.sample))(KEYS))
    std = np.exp(GAUSSIAN.log_std)
    assert (abs(drawn.mean(0) - GAUSSIAN.mean) < 5 * std / np.sqrt(4000)).all()
    assert (abs(drawn.std(0) / std - 1) < 5 / np.sqrt(8000)).all()
    chosen = np.asarray(jax.jit(jax.vmap(CATEGORICAL.sample))(KEYS))
    p = scipy.special.softmax(CATEGORICAL.logits)
    assert (chosen.sum(1) == 1).all()
    assert (abs(chosen.mean(0) - p) < 5 * np.sqrt(p * (1 - p) / 4000)).all()


def test_the_likeliest_choice():
    np.testing.assert_array_equal(GAUSSIAN.mode(), GAUSSIAN.mean)
    np.testing.assert_array_equal(CATEGORICAL.mode(), [0, 0, 1, 0])
