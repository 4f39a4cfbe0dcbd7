"""Standardisation to mean zero and std one, and back."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_ROUNDING = 1e-6  # relative: sums in float32 leave a constant with a std of about 1e-7 of its magnitude
_LEAST_SIZE = 1e-6  # of the magnitude that rounding is relative to


class Standardiser(eqx.Module):
    """An affine map to mean zero and std one in each column.

    A constant column has scale one, which avoids a division by zero.
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
        """Fits the rows where `mask` holds.

        `size`: the magnitude of the values that were rounded, see `scale_of`; by default that of the mean, at least
        one.
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
    """The std, or one where the std is no more than the rounding error of a constant.

    `size`: the greatest magnitude of the values that were rounded: of a difference, that of its operands.
    """
    return jnp.where(std <= _ROUNDING * jnp.maximum(size, _LEAST_SIZE), 1.0, std)
