"""Standardisation to mean zero and std one, and back."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_ROUNDINGS = 2  # of the float type, relative to the magnitude: the most by which the values of a constant differ


class Standardiser(eqx.Module):
    """An affine map to mean zero and std one in each column, in any unit of the values.

    A constant column, whose values differ by no more than the float type resolves at their magnitude, has scale one,
    which avoids a division by zero. A column whose variance exceeds the float type has an infinite one.
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

        `size`: the magnitude of the values that were rounded, see `scale_of`; by default the greatest of the column.
        """
        weight = mask[:, None] / jnp.maximum(mask.sum(), 1)
        rough = jnp.sum(jnp.where(mask[:, None], values, 0.0) * weight, axis=0)
        # A second pass takes the rounding of a long sum out of the mean: a constant is then left with none.
        mean = rough + jnp.sum(jnp.where(mask[:, None], values - rough, 0.0) * weight, axis=0)
        centred = jnp.where(mask[:, None], values - mean, 0.0)
        largest = jnp.abs(centred).max(axis=0, initial=0.0)
        unit = jnp.where(largest > 0, largest, 1.0)  # so that no square of a small number becomes zero
        std = unit * jnp.sqrt(jnp.sum((centred / unit) ** 2 * weight, axis=0))
        std = jnp.where(jnp.isfinite(std**2), std, jnp.inf)
        held = jnp.abs(jnp.where(mask[:, None], values, 0.0)).max(axis=0, initial=0.0)
        return cls(mean, scale_of(std, held if size is None else size))

    def __call__(self, value: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        return (value - self.mean) / self.std

    def inverse(self, value: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        return value * self.std + self.mean


def scale_of(std: Float[Array, "*d"], size: Float[Array, "d"]) -> Float[Array, "*d"]:
    """The std, or one where the std is no more than the rounding error of a constant.

    `size`: the greatest magnitude of the values that were rounded: of a difference, that of its operands.
    """
    return jnp.where(std <= _ROUNDINGS * jnp.finfo(std.dtype).eps * size, 1.0, std)
