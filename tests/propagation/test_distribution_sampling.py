"""Propagation of moments against the closed form of linear-Gaussian systems.

Each statistical check allows 5 standard errors: 6e-7 false alarms a number, 5e-5 for the file. Keys are fixed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.policies.simple import OpenLoop
from handful.propagation.distribution_sampling import DistributionSampling, Expectation, MomentMatching
from probes import Feedback, linear_ensemble

A = np.array([[0.9, 0.3], [-0.4, 1.1]])
B = np.array([[0.5], [-0.8]])
OFFSETS = np.array([[0.3, -0.1], [-0.2, 0.4], [0.5, 0.2]])
VARIANCES = np.array([[0.04, 0.3], [0.09, 0.1], [0.01, 0.2]])
START = np.array([1.2, -0.7])
PLAN = np.array([[0.8], [-1.3], [0.4], [1.1]])
PARTICLES = 20_000

MODEL = linear_ensemble(np.tile(A - np.eye(2), (3, 1, 1)), np.tile(B, (3, 1, 1)), OFFSETS, np.log(VARIANCES))
NOISE = np.diag(VARIANCES.mean(0) + OFFSETS.var(0))  # what a step adds: aleatoric and epistemic, independent entries


def rolled(propagator):
    roll = jax.jit(lambda model, plan, obs: propagator(jax.random.key(6), model, OpenLoop(plan), obs, 4).obs)
    return np.asarray(roll(MODEL, jnp.asarray(PLAN, jnp.float32), jnp.asarray(START, jnp.float32)), float)


def check_moments(particles, mean, cov, repeats=1.0):
    """Within 5 standard errors, of means and of (co)variances of as many Gaussian draws; `repeats` widens both."""
    var = np.diag(cov)
    assert (np.abs(particles.mean(0) - mean) < 5 * np.sqrt(repeats * var / PARTICLES) + 1e-5).all()
    error = np.sqrt(repeats * (np.outer(var, var) + cov**2) / PARTICLES)
    assert (np.abs(np.cov(particles.T, bias=True) - cov) < 5 * error + 1e-6).all()


def test_distribution_sampling_has_the_moments_of_the_linear_gaussian_system():
    """Correlations between entries build up in A and stay."""
    particles = rolled(DistributionSampling(PARTICLES))
    mean, cov = START, np.zeros((2, 2))
    for t in range(4):
        mean = A @ mean + B @ PLAN[t] + OFFSETS.mean(0)
        cov = A @ cov @ A.T + NOISE
        check_moments(particles[:, t + 1], mean, cov)
    assert abs(cov[0, 1]) / np.sqrt(cov[0, 0] * cov[1, 1]) > 0.1


def test_moment_matching_keeps_means_and_variances_and_forgets_correlations():
    """Step by step from the particles there are. Drawing and redrawing err independently: two errors in each."""
    particles = rolled(MomentMatching(PARTICLES))
    forgotten = 0.0
    for t in range(4):
        now = particles[:, t]
        cov = A @ np.cov(now.T, bias=True) @ A.T + NOISE
        mean = A @ now.mean(0) + B @ PLAN[t] + OFFSETS.mean(0)
        check_moments(particles[:, t + 1], mean, np.diag(np.diag(cov)), repeats=2.0)
        forgotten = max(forgotten, abs(cov[0, 1]) / np.sqrt(cov[0, 0] * cov[1, 1]))
    assert forgotten > 0.1


def test_moment_matching_redraws_from_a_gaussian():
    """Particles of two far members are no longer in two heaps: kurtosis 3 rather than 1.

    Redrawn: a kurtosis of 20000 Gaussian draws has a std of 0.035.
    """
    far = linear_ensemble(np.zeros((2, 1, 1)), np.zeros((2, 1, 1)), [[-30.0], [70.0]], [[0.0], [1.0]])
    rollout = MomentMatching(PARTICLES)(jax.random.key(7), far, OpenLoop(jnp.ones((1, 1))), jnp.ones(1), 1)
    gap = np.asarray(rollout.obs[:, 1, 0], float) - 21.0  # 1 + (70 - 30) / 2
    np.testing.assert_allclose((gap**2).mean(), 50**2 + (1 + np.e) / 2, rtol=5 * np.sqrt(4 / PARTICLES))
    np.testing.assert_allclose((gap**4).mean() / (gap**2).mean() ** 2, 3, atol=5 * 0.035)


def test_moments_of_changes_are_matched_as_in_the_release():
    """In NumPy: each particle keeps its place and adds a change; an entry without memory is redrawn as it is."""
    rng = np.random.default_rng(2)
    obs, action = rng.normal(3.0, 2.0, (5, 2)), rng.normal(size=(5, 1))
    noise = rng.normal(size=(2, 5, 2))
    matching = MomentMatching(5, of_changes=True, memoryless=(1,))
    numbers = [jnp.asarray(value, jnp.float32) for value in (noise, obs, action)]
    got = jax.jit(lambda noise, obs, action: matching.move(noise, MODEL, obs, action))(*numbers)
    sampled = obs @ A.T + action @ B.T + OFFSETS.mean(0) + np.sqrt(np.diag(NOISE)) * noise[0]
    change = sampled - obs * [1.0, 0.0]
    expected = obs * [1.0, 0.0] + change.mean(0) + change.std(0) * noise[1]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_moment_matching_redraws_each_entry_anew_each_step():
    """Two particles that stand together do not move together."""
    rollout = MomentMatching(6)(jax.random.key(8), MODEL, OpenLoop(jnp.asarray(PLAN)), jnp.asarray(START), 4)
    standard = np.asarray(rollout.obs[:, 1:])
    standard = (standard - standard.mean(0)) / standard.std(0)
    assert len(np.unique(standard.round(4))) == 48


def test_expectation_is_the_recursion_of_the_mean():
    """On nets with an angle, rewritten in NumPy over the members' own means."""
    gain = np.array([[0.3, -0.1, 0.2], [-0.2, 0.05, 0.4]])
    rollout = Expectation()(
        jax.random.key(9), zoo.ensemble(), Feedback(jnp.asarray(gain, jnp.float32)), zoo.OBS, zoo.HORIZON
    )
    obs = np.asarray(zoo.OBS, float)
    members = zoo.ensemble().members
    for t in range(zoo.HORIZON):
        np.testing.assert_allclose(rollout.obs[0, t], obs, rtol=1e-4, atol=1e-4)  # float32 over four steps
        action = gain @ obs
        np.testing.assert_allclose(rollout.actions[0, t], action, rtol=1e-4, atol=1e-4)
        obs = np.mean([member_mean(members, index, obs, action) for index in range(zoo.MEMBERS)], axis=0)
    np.testing.assert_allclose(rollout.obs[0, -1], obs, rtol=1e-4, atol=1e-4)


def member_mean(members, index, obs, action):
    leaf = lambda array: np.asarray(array[index], float)
    x = np.array([obs[0], obs[2], np.sin(obs[1]), np.cos(obs[1]), *action])
    x = (x - leaf(members.input_scale.mean)) / leaf(members.input_scale.std)
    for weight, bias in zip(members.net.weights[:-1], members.net.biases[:-1], strict=True):
        x = x @ leaf(weight) + leaf(bias)
        x = x / (1 + np.exp(-x))
    out = (x @ leaf(members.net.weights[-1]) + leaf(members.net.biases[-1]))[:3]
    return obs + out * leaf(members.target_scale.std) + leaf(members.target_scale.mean)


@pytest.mark.parametrize("kind", [DistributionSampling, MomentMatching])
def test_variances_are_added_not_stds(kind):
    """One step of members 4 apart with stds 3 and 1: a variance of (9 + 1) / 2 + 4 = 9, where stds would give 18."""
    model = linear_ensemble(np.zeros((2, 1, 1)), np.zeros((2, 1, 1)), [[-1.0], [3.0]], 2 * np.log([[3.0], [1.0]]))
    rollout = kind(PARTICLES)(jax.random.key(3), model, OpenLoop(jnp.ones((1, 1))), jnp.zeros(1), 1)
    np.testing.assert_allclose(np.var(rollout.obs[:, 1, 0]), 9, rtol=5 * np.sqrt(4 / PARTICLES))
