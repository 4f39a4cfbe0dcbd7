"""Standardisation: to mean zero and std one, and back."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_ROUNDING = 1e-6  # of a number's size: sums in float32 leave a constant with a std of about 1e-7 of it
_LEAST = 1e-6  # size that a number counts as at least


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
    def fit(
        cls, values: Float[Array, "b d"], mask: Bool[Array, "b"], size: Float[Array, "d"] | None = None
    ) -> "Standardiser":
        """Statistics of the rows where `mask` holds.

        `size`: of the numbers that were rounded, as `scale_of` takes it; by default that of the mean, at least one.
        """
        weight = mask[:, None] / jnp.maximum(mask.sum(), 1)
        mean = jnp.sum(jnp.where(mask[:, None], values, 0.0) * weight, axis=0)
        centred = jnp.where(mask[:, None], values - mean, 0.0)
        std = jnp.sqrt(jnp.sum(centred**2 * weight, axis=0))
        return cls(mean, scale_of(std, jnp.maximum(1.0, jnp.abs(mean)) if size is None else size))

    def __call__(self, value: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        return (value - self.mean) / self.std

    def inverse(self, value: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        return value * self.std + self.mean


def scale_of(std: Float[Array, "*d"], size: Float[Array, "d"]) -> Float[Array, "*d"]:
    """What to divide by: the std, or one where it is no more than rounding leaves of something constant.

    `size`: the greatest magnitude of the numbers themselves. A change has the rounding of the entry that changes, so
    its size is the entry's.
    """
    return jnp.where(std <= _ROUNDING * jnp.maximum(size, _LEAST), 1.0, std)
