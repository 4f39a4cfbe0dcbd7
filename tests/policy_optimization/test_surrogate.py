"""Surrogates by hand, and their gradients against score functions in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from handful.policies.mlp import MLP
from handful.policies.stochastic import CategoricalHead, GaussianHead
from handful.policy_optimization.penalty import Doubling
from handful.policy_optimization.surrogate import Clipped, Importance, Penalised, weighted_likelihood

RNG = np.random.default_rng(12)
SEEN = RNG.normal(size=(7, 3))
ADVANTAGE = RNG.normal(size=7)
W, B = RNG.normal(size=(3, 2)), RNG.normal(size=2)
NET = MLP((jnp.asarray(W, jnp.float32),), (jnp.asarray(B, jnp.float32),))  # without hidden layers


def test_weighted_likelihood_by_hand():
    log_prob, weight = jnp.array([-1.0, -2.0, -3.0, jnp.nan]), jnp.array([0.5, 2.0, -1.0, 7.0])
    counted = jnp.array([True, False, True, False])
    assert weighted_likelihood(log_prob, weight, counted) == (-0.5 + 3.0) / 2
    assert weighted_likelihood(log_prob, weight, jnp.zeros(4, bool)) == 0


@pytest.mark.parametrize(
    ("ratio", "advantage", "worth", "slope"),
    [
        (1.5, 2.0, 2.6, 0.0),  # too far the way that pays: no more gain
        (1.5, -2.0, -3.0, -2.0),  # too far the way that costs: the whole loss
        (0.6, 2.0, 1.2, 2.0),
        (0.6, -2.0, -1.4, 0.0),
        (1.2, 2.0, 2.4, 2.0),  # within
        (0.8, -2.0, -1.6, -2.0),
    ],
)
def test_clipping_by_hand(ratio, advantage, worth, slope):
    """`slope` by the ratio, so by its logarithm `ratio` times that."""
    of = lambda log_ratio: Clipped(clip_eps=0.3)(None, log_ratio, jnp.asarray(advantage), jnp.zeros(()))
    value, gradient = jax.value_and_grad(of)(jnp.log(jnp.asarray(ratio)))
    np.testing.assert_allclose([value, gradient], [worth, slope * ratio], rtol=1e-5, atol=1e-6)


def test_the_penalty_is_what_passes_the_target_times_beta():
    surrogate = Penalised(Doubling(beta=3.0, target=0.02))
    assert surrogate.init() == 3.0
    worth = surrogate(jnp.asarray(5.0), jnp.log(jnp.asarray(1.5)), jnp.asarray(-2.0), jnp.asarray(0.06))
    np.testing.assert_allclose(worth, -3.0 - 5.0 * 0.04, rtol=1e-5)
    assert surrogate.after(jnp.asarray(5.0), jnp.asarray(0.06)) == 10.0


def gradients(head, choice):
    """Of each surrogate at the policy that drew the choices, whose divergence from itself is flat."""
    before = jax.vmap(head)(jnp.asarray(SEEN, jnp.float32))
    log_prob = lambda d: jax.vmap(lambda d, c: d.log_prob(c))(d, choice)
    advantage = jnp.asarray(ADVANTAGE, jnp.float32)

    def objective(head, surrogate):
        now = jax.vmap(head)(jnp.asarray(SEEN, jnp.float32))
        kl = jax.vmap(lambda old, new: old.kl(new))(before, now)
        log_ratio = log_prob(now) - log_prob(before)
        return jnp.mean(jax.vmap(surrogate, (None, 0, 0, 0))(surrogate.init(), log_ratio, advantage, kl))

    likelihood = lambda head: weighted_likelihood(
        log_prob(jax.vmap(head)(jnp.asarray(SEEN, jnp.float32))), advantage, jnp.ones(7, bool)
    )
    each = [jax.grad(objective)(head, surrogate) for surrogate in (Importance(), Clipped(), Penalised())]
    return [*each, jax.grad(likelihood)(head)]


def test_at_the_old_categories_every_surrogate_has_the_policy_gradient():
    """`mean A (onehot - p) x'`, the score of a softmax."""
    choice = np.eye(2)[[0, 1, 1, 0, 1, 1, 0]]
    score = (choice - scipy.special.softmax(SEEN @ W + B, axis=1)) * ADVANTAGE[:, None]
    for gradient in jax.jit(gradients)(CategoricalHead(NET), jnp.asarray(choice, jnp.float32)):
        np.testing.assert_allclose(gradient.net.weights[0], SEEN.T @ score / 7, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(gradient.net.biases[0], score.mean(0), rtol=1e-4, atol=1e-5)


def test_at_the_old_gaussian_every_surrogate_has_the_policy_gradient():
    """`mean A (c - mu) / std^2 x'` for the mean, `mean A ((c - mu)^2 / std^2 - 1)` for the log std."""
    log_std = np.array([-0.4, 0.3])
    apart = RNG.normal(size=(7, 2)) * np.exp(log_std)
    choice = jnp.asarray(SEEN @ W + B + apart, jnp.float32)
    score = apart / np.exp(2 * log_std) * ADVANTAGE[:, None]
    wider = (apart**2 / np.exp(2 * log_std) - 1) * ADVANTAGE[:, None]
    for gradient in jax.jit(gradients)(GaussianHead(NET, jnp.asarray(log_std, jnp.float32)), choice):
        np.testing.assert_allclose(gradient.net.weights[0], SEEN.T @ score / 7, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(gradient.net.biases[0], score.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(gradient.log_std, wider.mean(0), rtol=1e-4, atol=1e-5)
