"""Kernels with a lengthscale for each input, and the covariance of noisy targets."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

LEAST_SQUARE = 1e-12  # of a distance, below which its square root has no useful gradient


class AbstractKernel(eqx.Module):
    """A stationary kernel `std^2 shape(r^2)`, where `r^2 = sum_d (x_d - z_d)^2 / lengthscale_d^2`.

    Parameters are logarithms, so leaves may have any value. Several outputs are one kernel with a leading axis.
    """

    log_lengthscales: eqx.AbstractVar[Float[Array, "i"]]
    log_std: eqx.AbstractVar[Float[Array, ""]]

    @abstractmethod
    def shape(self, square: Float[Array, "*b"]) -> Float[Array, "*b"]:
        """The correlation at a scaled squared distance."""

    @abstractmethod
    def unit_frequencies(self, key: PRNGKeyArray, count: int) -> Float[Array, "{count} i"]:
        """Draws from the spectral density at lengthscale one [rad]."""

    @property
    def variance(self) -> Float[Array, ""]:
        return jnp.exp(2 * self.log_std)

    def __call__(self, left: Float[Array, "b i"], right: Float[Array, "c i"]) -> Float[Array, "b c"]:
        """The covariance of each row of `left` with each of `right`."""
        scale = jnp.exp(-self.log_lengthscales)
        return self.variance * self.shape(_squared_distances(left * scale, right * scale))

    def frequencies(self, key: PRNGKeyArray, count: int) -> Float[Array, "{count} i"]:
        """Draws from the spectral density: `E[cos(w (x - z))]` over them is the correlation of x and z."""
        return self.unit_frequencies(key, count) * jnp.exp(-self.log_lengthscales)


class SquaredExponential(AbstractKernel):
    """`shape = exp(-r^2 / 2)`, for functions that are infinitely differentiable.

    Source: [Rasmussen06] equation 4.9, with a lengthscale for each entry. Deviates: no.
    """

    log_lengthscales: Float[Array, "i"]
    log_std: Float[Array, ""]

    def shape(self, square: Float[Array, "*b"]) -> Float[Array, "*b"]:
        return jnp.exp(-0.5 * square)

    def unit_frequencies(self, key: PRNGKeyArray, count: int) -> Float[Array, "{count} i"]:
        return jax.random.normal(key, (count, *self.log_lengthscales.shape), self.log_lengthscales.dtype)


class Matern52(AbstractKernel):
    """`shape = (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)`, for functions that are twice differentiable.

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
    """Squared distances by one matrix product, clipped at zero, below which rounding may bring them."""
    product = jnp.matmul(left, right.T, precision="highest")
    return jnp.maximum(jnp.sum(left**2, 1)[:, None] + jnp.sum(right**2, 1) - 2 * product, 0.0)


class Covariance(eqx.Module):
    """The covariance of the targets of one output: kernel plus independent noise.

    The std of the noise is at least 1e-2 of that of the signal in float32 (1e-4 in float64), and 1e-5 of the variance
    of the signal (1e-8) is added to the diagonal. Below these, predicted variances lose their accuracy in float32
    first, then the factorisation fails.
    """

    kernel: AbstractKernel
    log_noise: Float[Array, ""]  # logarithm of the noise's std, before its floor is added

    @property
    def noise_variance(self) -> Float[Array, ""]:
        floor, _ = guards(self.log_noise.dtype)
        return jnp.exp(2 * self.log_noise) + floor**2 * self.kernel.variance

    @property
    def diagonal(self) -> Float[Array, ""]:
        """The diagonal that is added to the kernel matrix: noise and jitter."""
        _, jitter = guards(self.log_noise.dtype)
        return self.noise_variance + jitter * self.kernel.variance

    def matrix(self, inputs: Float[Array, "n i"], mask: Float[Array, "n"]) -> Float[Array, "n n"]:
        """The covariance matrix of the targets; rows whose mask is zero are those of the identity."""
        matrix = self.kernel(inputs, inputs) * mask[:, None] * mask
        diagonal = jnp.where(mask > 0, self.kernel.variance + self.diagonal, 1.0)
        return jnp.where(jnp.eye(inputs.shape[0], dtype=bool), diagonal, matrix)


def guards(dtype: jnp.dtype) -> tuple[float, float]:
    """Least noise std in units of the signal std, and jitter in units of the signal variance."""
    return (1e-4, 1e-8) if dtype == jnp.float64 else (1e-2, 1e-5)
