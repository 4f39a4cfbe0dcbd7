"""The Gaussian net against NumPy in double precision."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.models.networks import GaussianNet, swish


def forward(net, x):
    """Rewritten from the paper: swish layers, then soft bounds on the log-variance."""
    weights = [np.asarray(w, float) for w in net.weights]
    biases = [np.asarray(b, float) for b in net.biases]
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = x @ weight + bias
        x = x / (1 + np.exp(-x))
    out = x @ weights[-1] + biases[-1]
    size = out.shape[-1] // 2
    upper, lower = np.asarray(net.log_var_upper, float), np.asarray(net.log_var_lower, float)
    log_var = upper - np.log1p(np.exp(upper - out[..., size:]))
    log_var = lower + np.log1p(np.exp(log_var - lower))
    return out[..., :size], log_var


@pytest.fixture(scope="module")
def net():
    net = GaussianNet.init(jax.random.key(4), (5, 11, 7, 3), (-10.0, 0.5))
    rng = np.random.default_rng(6)
    return dataclasses.replace(
        net,
        weights=tuple(3 * weight for weight in net.weights),
        biases=tuple(jnp.asarray(rng.normal(size=b.shape), jnp.float32) for b in net.biases),
        # Bounds close to each other and different from output to output, so that both of them bind.
        log_var_upper=jnp.array([0.4, -0.3, 1.2]),
        log_var_lower=jnp.array([-0.9, -1.4, 0.3]),
    )


def test_matches_numpy_where_the_bounds_bind_and_where_they_do_not(net):
    far = np.random.default_rng(7).normal(size=(40, 5)) * np.geomspace(0.1, 60, 40)[:, None]
    mean, var = jax.jit(jax.vmap(net))(jnp.asarray(far, jnp.float32))
    log_var = np.log(var)
    expected_mean, expected_log_var = forward(net, far)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-4, atol=1e-4)  # sums of 11 products in float32
    np.testing.assert_allclose(log_var, expected_log_var, rtol=1e-4, atol=1e-4)
    upper, lower = np.asarray(net.log_var_upper), np.asarray(net.log_var_lower)
    # The second softplus lifts the ceiling by log(1 + exp(lower - upper)): soft bounds, as in the paper.
    assert (log_var <= upper + np.log1p(np.exp(lower - upper)) + 1e-5).all()
    assert (log_var >= lower - 1e-5).all()
    assert (log_var.max(0) - log_var.min(0) > 0.3).all()


def test_swish_is_x_times_its_sigmoid():
    """A tanh that is off by two units in the last place, 2^-23, is off by |x| times that."""
    x = np.linspace(-30, 25, 111)
    exact = x / (1 + np.exp(-x))
    assert (np.abs(swish(jnp.asarray(x, jnp.float32)) - exact) < np.maximum(np.abs(x), 1) * 2.0**-22).all()


def test_initial_weights():
    """Truncated at two units, so the std is 0.8796 of the nominal 1 / (2 sqrt(fan_in)), as TensorFlow's was.

    12000 draws know a std to 0.6 %: 4 % off happens in 1e-9 of runs.
    """
    net = GaussianNet.init(jax.random.key(8), (60, 200, 3), (-7.0, 0.25))
    for weight, fan_in in zip(net.weights[:1], [60], strict=True):
        nominal = 1 / (2 * np.sqrt(fan_in))
        np.testing.assert_allclose(np.std(weight), 0.8796 * nominal, rtol=0.04)
        assert np.abs(weight).max() <= 2 * nominal
    assert [w.shape for w in net.weights] == [(60, 200), (200, 6)]
    assert np.abs(net.weights[1]).max() <= 1 / np.sqrt(200)
    assert not any(np.any(b) for b in net.biases)
    np.testing.assert_array_equal(net.log_var_upper, 0.25)
    np.testing.assert_array_equal(net.log_var_lower, -7.0)


def test_constant_noise_does_not_depend_on_the_input_and_leaves_the_mean_alone():
    kinds = [GaussianNet.init(jax.random.key(4), (3, 7, 2), (-6.0, 0.5), constant_noise=each) for each in (True, False)]
    bias = jnp.array([0.3, -0.2, -1.1, 0.4])
    constant, varying = (eqx.tree_at(lambda net: net.biases[-1], net, bias) for net in kinds)
    for x in (jnp.array([0.2, -0.4, 1.7]), jnp.array([-2.0, 0.1, 0.6])):
        (mean, var), (other, _) = constant(x), varying(x)
        np.testing.assert_array_equal(mean, other)
        expected = np.exp(-6.0) + 1 / (np.exp(-0.5) + np.exp([1.1, -0.4]))
        np.testing.assert_allclose(var, expected, rtol=1e-5)
