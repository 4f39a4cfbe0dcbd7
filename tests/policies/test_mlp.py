"""The perceptron: its formula, its first weights."""

import jax
import jax.numpy as jnp
import numpy as np

from handful.policies.mlp import MLP

KEY = jax.random.key(3)


def test_the_formula_by_numpy():
    net = MLP.init(KEY, (3, 5, 4, 2))
    net = MLP(net.weights, tuple(b + 0.1 * jnp.arange(1.0, b.size + 1) for b in net.biases), jax.nn.relu)
    x = np.array([0.4, -1.3, 2.2])
    first = np.maximum(x @ net.weights[0] + net.biases[0], 0)
    second = np.maximum(first @ net.weights[1] + net.biases[1], 0)
    np.testing.assert_allclose(net(jnp.asarray(x)), second @ net.weights[2] + net.biases[2], rtol=1e-5)


def test_first_weights_are_orthogonal_with_the_gains_of_their_layers_and_biases_are_zero():
    net = MLP.init(KEY, (6, 4, 4, 3), final_scale=0.01)
    for weight, gain in zip(net.weights, (2**0.5, 2**0.5, 0.01), strict=True):
        np.testing.assert_allclose(weight.T @ weight, gain**2 * np.eye(weight.shape[1]), atol=1e-5 * gain**2)
    assert all((bias == 0).all() for bias in net.biases)
