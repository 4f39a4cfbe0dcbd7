"""Standardisation: to mean zero and std one, and back."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Standardiser(eqx.Module):
    """An affine map that gives the data it was fitted on mean zero and std one, column by column.

    A constant column keeps scale one: it maps to zero and back without a division by zero.
    """

    mean: Float[Array, "d"]
    std: Float[Array, "d"]

    @classmethod
    def identity(cls, size: int) -> "Standardiser":
        return cls(jnp.zeros(size), jnp.ones(size))

    @classmethod
    def fit(cls, values: Float[Array, "b d"], mask: Bool[Array, "b"]) -> "Standardiser":
        """Statistics of the rows where `mask` holds."""
        weight = mask[:, None] / jnp.maximum(mask.sum(), 1)
        mean = jnp.sum(jnp.where(mask[:, None], values, 0.0) * weight, axis=0)
        centred = jnp.where(mask[:, None], values - mean, 0.0)
        std = jnp.sqrt(jnp.sum(centred**2 * weight, axis=0))
        # Rounding leaves a constant column of size c with a std of about 1e-7 c.
        constant = std <= 1e-6 * jnp.maximum(1.0, jnp.abs(mean))
        return cls(mean, jnp.where(constant, 1.0, std))

    def __call__(self, value: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        return (value - self.mean) / self.std

    def inverse(self, value: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        return value * self.std + self.mean
