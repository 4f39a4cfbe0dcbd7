"""The Gaussian network: one member of an ensemble."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def swish(x: Float[Array, "*s"], tanh: Callable[[Array], Array] = jnp.tanh) -> Float[Array, "*s"]:
    """`x sigmoid(x)`, written with tanh: on a CPU this takes half the time of the exponential form."""
    half = 0.5 * x
    return half * tanh(half) + half


LEAST_LOG_VAR = -40.0  # below every sensible bound; keeps the squared precision within float32 in gradients


class GaussianNet(eqx.Module):
    """A multilayer perceptron that returns a mean and a variance for each output.

    The log-variance `v` of the last layer is kept between soft bounds: `w = upper - softplus(upper - v)`, then
    `lower + softplus(w - lower)`. In terms of the variance that is `exp(lower) + 1 / (exp(-upper) + exp(-v))`,
    without a logarithm. The bounds are leaves, which the learner may train or leave constant.

    Products have the dtype of the weights and are summed in that of the input: bfloat16 weights make them cheap.

    Source: [Chua18] appendix A.1. Deviates: no.
    """

    weights: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, "_"], ...]
    log_var_upper: Float[Array, "d"]
    log_var_lower: Float[Array, "d"]
    constant_noise: bool = eqx.field(static=True, default=False)  # log-variances are the last bias alone

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        sizes: tuple[int, ...],
        log_var_bounds: tuple[float, float],
        *,
        constant_noise: bool = False,
    ) -> "GaussianNet":
        """Truncated normal weights of std `1 / (2 sqrt(fan_in))`, biases zero. `sizes` runs from input to output."""
        *hidden, output = sizes
        shapes = list(zip(hidden, [*hidden[1:], 2 * output], strict=True))
        keys = jax.random.split(key, len(shapes))
        weights = tuple(
            jax.random.truncated_normal(k, -2.0, 2.0, shape) / (2.0 * jnp.sqrt(shape[0]))
            for k, shape in zip(keys, shapes, strict=True)
        )
        biases = tuple(jnp.zeros(shape[1]) for shape in shapes)
        lower, upper = log_var_bounds
        return cls(
            weights,
            biases,
            jnp.full(output, upper, weights[0].dtype),
            jnp.full(output, lower, weights[0].dtype),
            constant_noise,
        )

    def __call__(self, x: Float[Array, "i"]) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
        """Mean and variance."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = swish(_product(x, weight) + bias)
        return self.read(_product(x, self.weights[-1]) + self.biases[-1])

    def read(self, out: Float[Array, "outs"]) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
        """Mean and variance from the outputs of the last layer, which are twice as many."""
        mean, log_var = jnp.split(out, 2)
        if self.constant_noise:
            log_var = self.biases[-1][mean.size :]
        precision = jnp.exp(-jnp.maximum(log_var, LEAST_LOG_VAR))
        return mean, jnp.exp(self.log_var_lower) + 1 / (jnp.exp(-self.log_var_upper) + precision)


def _product(x: Float[Array, "i"], weight: Float[Array, "i j"]) -> Float[Array, "j"]:
    return jnp.matmul(x.astype(weight.dtype), weight, preferred_element_type=x.dtype)
