"""Kernels: how alike two inputs are, with a lengthscale for each entry."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

LEAST_SQUARE = 1e-12  # below it a distance has no use, and its square root no gradient


class AbstractKernel(eqx.Module):
    """A stationary kernel `std^2 shape(r^2)`, where `r^2 = sum_d (x_d - z_d)^2 / lengthscale_d^2`.

    Parameters are logarithms, so every value of a leaf is allowed. Several outputs are one kernel with a leading axis.
    """

    log_lengthscales: eqx.AbstractVar[Float[Array, "i"]]
    log_std: eqx.AbstractVar[Float[Array, ""]]

    @abstractmethod
    def shape(self, square: Float[Array, "*b"]) -> Float[Array, "*b"]:
        """From the scaled squared distance to the correlation."""

    @abstractmethod
    def unit_frequencies(self, key: PRNGKeyArray, count: int) -> Float[Array, "{count} i"]:
        """Draws from the spectral density at lengthscale one [rad]."""

    @property
    def variance(self) -> Float[Array, ""]:
        return jnp.exp(2 * self.log_std)

    def __call__(self, left: Float[Array, "b i"], right: Float[Array, "c i"]) -> Float[Array, "b c"]:
        """The covariance of each row on the left with each on the right."""
        scale = jnp.exp(-self.log_lengthscales)
        return self.variance * self.shape(_squared_distances(left * scale, right * scale))

    def frequencies(self, key: PRNGKeyArray, count: int) -> Float[Array, "{count} i"]:
        """Draws from the spectral density: `E[cos(w (x - z))]` over them is the correlation of x and z."""
        return self.unit_frequencies(key, count) * jnp.exp(-self.log_lengthscales)


class SquaredExponential(AbstractKernel):
    """`shape = exp(-r^2 / 2)`: functions with all derivatives.

    Source: [Rasmussen06] equation 4.9, with a lengthscale for each entry. Deviates: no.
    """

    log_lengthscales: Float[Array, "i"]
    log_std: Float[Array, ""]

    def shape(self, square: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return jnp.exp(-0.5 * square)

    def unit_frequencies(self, key: PRNGKeyArray, count: int) -> Float[Array, "{count} i"]:
        return jax.random.normal(key, (count, *self.log_lengthscales.shape), self.log_lengthscales.dtype)


class Matern52(AbstractKernel):
    """`shape = (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)`: functions with two derivatives.

    Its spectral density is Student's t with five degrees of freedom.

    Source: [Rasmussen06] equation 4.17, with a lengthscale for each entry. Deviates: no.
    """

    log_lengthscales: Float[Array, "i"]
    log_std: Float[Array, ""]

    def shape(self, square: Float[Array, "*b"]) -> Float[Array, "*b"]:
        root = jnp.sqrt(5 * jnp.maximum(square, LEAST_SQUARE))
        return (1 + root + root**2 / 3) * jnp.exp(-root)

    def unit_frequencies(self, key: PRNGKeyArray, count: int) -> Float[Array, "{count} i"]:
        normal_key, gamma_key = jax.random.split(key)
        normal = jax.random.normal(normal_key, (count, *self.log_lengthscales.shape), self.log_lengthscales.dtype)
        half_chi_square = jax.random.gamma(gamma_key, 2.5, (count, 1), normal.dtype)
        return normal * jnp.sqrt(2.5 / half_chi_square)


def _squared_distances(left: Float[Array, "b i"], right: Float[Array, "c i"]) -> Float[Array, "b c"]:
    """By one matrix product; rounding may leave a distance a little below zero, so zero is the least."""
    product = jnp.matmul(left, right.T, precision="highest")
    return jnp.maximum(jnp.sum(left**2, 1)[:, None] + jnp.sum(right**2, 1) - 2 * product, 0.0)
