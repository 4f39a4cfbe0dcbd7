"""Baselines leave the expected gradient as it is, but for what is told: every batch of a tiny task, enumerated."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import zoo
from handful.optimiser import Adam
from handful.policies.distributions import Categorical
from handful.policies.mlp import MLP
from handful.policy_optimization.baselines import BatchMean, LearnedState, LearnedValue, NoBaseline
from handful.policy_optimization.surrogate import weighted_likelihood
from probes import shaken

LOGITS = np.array([0.3, -0.8, 1.1])
PAYS = np.array([2.0, -1.0, 5.0])
P = np.exp(LOGITS) / np.exp(LOGITS).sum()
TRUE = P * (PAYS - P @ PAYS)  # the gradient of the expected reward by the logits
BATCHES = np.array(list(itertools.product(range(3), repeat=3)))  # of three arms drawn, all 27
CHANCE = P[BATCHES].prod(1)
SEEN = zoo.OBS + jnp.arange(9.0).reshape(3, 3)
COUNTED = jnp.ones(3, bool)
KEY = jax.random.key(4)


def expected_gradient(baseline, state):
    """Over all batches, of the likelihood weighed by what passes the baseline."""

    def gradient(arms):
        returns = jnp.asarray(PAYS, jnp.float32)[arms]
        advantage = returns - baseline.values(state, SEEN, returns, COUNTED)
        of = lambda logits: jax.vmap(Categorical(logits).log_prob)(jax.nn.one_hot(arms, 3))
        likelihood = lambda logits: weighted_likelihood(of(logits), advantage, COUNTED)
        return jax.grad(likelihood)(jnp.asarray(LOGITS, jnp.float32))

    return CHANCE @ np.asarray(eqx.filter_jit(jax.vmap(gradient))(jnp.asarray(BATCHES)))


def test_without_a_baseline_the_expected_gradient_is_the_true_one():
    np.testing.assert_allclose(expected_gradient(NoBaseline(), None), TRUE, rtol=1e-4)


def test_a_learned_value_changes_nothing_on_average():
    net = shaken(MLP.init(KEY, (3, 5, 1)))
    assert np.std(jax.vmap(net)(SEEN)) > 0.05, "another at each step"
    np.testing.assert_allclose(expected_gradient(LearnedValue((5,)), LearnedState(net, None)), TRUE, rtol=1e-4)


def test_the_batch_s_mean_makes_the_gradient_of_single_steps_smaller_by_one_part_in_the_trials():
    np.testing.assert_allclose(expected_gradient(BatchMean(), None), TRUE * 2 / 3, rtol=1e-4)


def test_the_batch_s_mean_makes_the_gradient_of_later_steps_smaller_still():
    """Two trials of two coins, each with a logit of its own and paid for itself alone: all 16 batches."""
    logits, pays = np.array([0.3, -0.8]), np.array([2.0, 5.0])
    p = 1 / (1 + np.exp(-logits))
    coins = np.array(list(itertools.product(range(2), repeat=4)), float).reshape(16, 2, 2)  # batch, trial, step
    chance = np.where(coins > 0, p, 1 - p).prod((1, 2))
    to_go = np.cumsum((coins * pays)[..., ::-1], -1)[..., ::-1]
    seen, counted = jnp.ones((4, 1)), jnp.ones(4, bool)
    means = jax.vmap(lambda r: BatchMean().values(None, seen, r, counted))(jnp.asarray(to_go.reshape(16, 4)))
    advantage = to_go - np.asarray(means).reshape(16, 2, 2)
    gradient = chance @ ((coins - p) * advantage).mean(1)
    np.testing.assert_allclose(gradient / (p * (1 - p) * pays), [3 / 4, 1 / 2], rtol=1e-5)


def test_the_mean_is_of_what_counts():
    returns, counted = jnp.array([1.0, jnp.nan, 4.0]), jnp.array([True, False, True])
    np.testing.assert_array_equal(BatchMean().values(None, SEEN, returns, counted), [2.5] * 3)


def test_a_learned_value_comes_to_the_returns_of_what_counts():
    baseline = LearnedValue((5,), Adam(learning_rate=0.03, max_grad_norm=jnp.inf), gradient_steps=150, batch_size=6)
    returns, counted = jnp.array([1.0, jnp.nan, -2.0]), jnp.array([True, False, True])
    values = eqx.filter_jit(
        lambda key: baseline.values(
            baseline.fit(key, baseline.init(key, 3), SEEN, returns, counted), SEEN, returns, counted
        )
    )(KEY)
    np.testing.assert_allclose(values[::2], returns[::2], atol=0.1)
