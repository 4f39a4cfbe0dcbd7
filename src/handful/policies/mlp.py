"""The multilayer perceptron of policies and values."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.linalg import orthogonal

_GAIN = 2.0**0.5  # of hidden layers


class MLP(eqx.Module):
    """A multilayer perceptron: hidden layers with the same activation, and a linear last layer.

    >>> net = MLP.init(jax.random.key(3), (4, 64, 64, 2), final_scale=0.01)
    >>> net(jnp.ones(4)).shape
    (2,)
    """

    weights: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, "_"], ...]
    activation: Callable[[Array], Array] = eqx.field(static=True, default=jnp.tanh)

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        sizes: tuple[int, ...],
        final_scale: float = 1.0,
        activation: Callable[[Array], Array] = jnp.tanh,
    ) -> "MLP":
        """Orthogonal weights, in the last layer times `final_scale`, and zero biases. `sizes`: input to output."""
        keys = jax.random.split(key, len(sizes) - 1)
        scales = [_GAIN] * (len(sizes) - 2) + [final_scale]
        weights = tuple(
            orthogonal(k, (i, o), scale) for k, scale, i, o in zip(keys, scales, sizes[:-1], sizes[1:], strict=True)
        )
        return cls(weights, tuple(jnp.zeros(size) for size in sizes[1:]), activation)

    def __call__(self, x: Float[Array, "i"]) -> Float[Array, "d"]:
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = self.activation(x @ weight + bias)
        return x @ self.weights[-1] + self.biases[-1]
