"""Baselines leave the expected gradient as it is: every batch of a tiny bandit, enumerated."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import zoo
from handful.policies.distributions import Categorical
from handful.policies.stochastic import Value
from handful.policy_optimization.baselines import BatchMean, LearnedState, LearnedValue, NoBaseline
from handful.policy_optimization.steps import Adam
from handful.policy_optimization.surrogate import weighted_likelihood
from probes import shaken

LOGITS = np.array([0.3, -0.8, 1.1])
PAYS = np.array([2.0, -1.0, 5.0])
P = np.exp(LOGITS) / np.exp(LOGITS).sum()
TRUE = P * (PAYS - P @ PAYS)  # the gradient of the expected reward by the logits
BATCHES = np.array(list(itertools.product(range(3), repeat=3)))  # of three arms drawn, all 27
CHANCE = P[BATCHES].prod(1)
OBS = zoo.OBS + jnp.arange(9.0).reshape(3, 3)
COUNTED = jnp.ones(3, bool)
KEY = jax.random.key(4)


def expected_gradient(baseline, state):
    """Over all batches, of the likelihood weighed by what passes the baseline."""

    def gradient(arms):
        returns = jnp.asarray(PAYS, jnp.float32)[arms]
        advantage = returns - baseline.values(state, OBS, returns, COUNTED)
        of = lambda logits: jax.vmap(Categorical(logits).log_prob)(jax.nn.one_hot(arms, 3))  # noqa: E731
        likelihood = lambda logits: weighted_likelihood(of(logits), advantage, COUNTED)  # noqa: E731
        return jax.grad(likelihood)(jnp.asarray(LOGITS, jnp.float32))

    return CHANCE @ np.asarray(eqx.filter_jit(jax.vmap(gradient))(jnp.asarray(BATCHES)))


def test_without_a_baseline_the_expected_gradient_is_the_true_one():
    np.testing.assert_allclose(expected_gradient(NoBaseline(), None), TRUE, rtol=1e-4)


def test_a_learned_value_changes_nothing_on_average():
    value = shaken(Value.init(KEY, zoo.TASK, (5,)))
    assert np.std(jax.vmap(value)(OBS)) > 0.05, "another at each step"
    np.testing.assert_allclose(expected_gradient(LearnedValue((5,)), LearnedState(value, None)), TRUE, rtol=1e-4)


def test_the_batch_s_mean_makes_the_gradient_smaller_by_its_own_share_alone():
    np.testing.assert_allclose(expected_gradient(BatchMean(), None), TRUE * 2 / 3, rtol=1e-4)


def test_the_mean_is_of_what_counts():
    returns, counted = jnp.array([1.0, jnp.nan, 4.0]), jnp.array([True, False, True])
    np.testing.assert_array_equal(BatchMean().values(None, OBS, returns, counted), [2.5] * 3)


def test_a_learned_value_comes_to_the_returns_of_what_counts():
    baseline = LearnedValue((5,), Adam(rate=0.03, longest=jnp.inf), steps=150, size=6)
    returns, counted = jnp.array([1.0, jnp.nan, -2.0]), jnp.array([True, False, True])
    values = eqx.filter_jit(
        lambda key: baseline.values(
            baseline.fitted(key, baseline.init(key, zoo.TASK), OBS, returns, counted), OBS, returns, counted
        )
    )(KEY)
    np.testing.assert_allclose(values[::2], returns[::2], atol=0.1)
