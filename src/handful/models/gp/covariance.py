"""Kernel and noise of one output, with the guards that keep its matrix positive definite."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.models.gp.kernels import AbstractKernel


class Covariance(eqx.Module):
    """How the targets of one output vary together: kernel plus independent noise.

    The noise's std is at least 1e-2 of the signal's in float32 (1e-4 in float64), and the diagonal carries a jitter of
    1e-5 of the signal's variance (1e-8): below these, float32 loses the variances first and then everything.
    """

    kernel: AbstractKernel
    log_noise: Float[Array, ""]  # logarithm of the noise's std, before its floor is added

    @property
    def noise_variance(self) -> Float[Array, ""]:
        floor, _ = guards(self.log_noise.dtype)
        return jnp.exp(2 * self.log_noise) + floor**2 * self.kernel.variance

    @property
    def diagonal(self) -> Float[Array, ""]:
        """What is added to the kernel's matrix: noise and jitter."""
        _, jitter = guards(self.log_noise.dtype)
        return self.noise_variance + jitter * self.kernel.variance

    def matrix(self, inputs: Float[Array, "n i"], mask: Float[Array, "n"]) -> Float[Array, "n n"]:
        """The covariance of the rows' targets; where the mask is zero, one on the diagonal and zero beside it."""
        matrix = self.kernel(inputs, inputs) * mask[:, None] * mask
        diagonal = jnp.where(mask > 0, self.kernel.variance + self.diagonal, 1.0)
        return jnp.where(jnp.eye(inputs.shape[0], dtype=bool), diagonal, matrix)


def guards(dtype: jnp.dtype) -> tuple[float, float]:
    """Least noise std in units of the signal's std, and jitter in units of the signal's variance."""
    return (1e-4, 1e-8) if dtype == jnp.float64 else (1e-2, 1e-5)
