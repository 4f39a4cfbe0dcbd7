"""A weight for how near an input is to the data."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from handful.data.scaling import Standardiser


class Trust(eqx.Module):
    """A weight that is `maximum` on and between the data, and falls to zero away from them.

        maximum exp(-(d / (reach spacing))^2 / 2),   d = max(0, distance to the nearest anchor - spacing)

    Anchors are rows of the data, in standardised inputs. No row of the data is further than `spacing` from one.
    """

    scale: Standardiser
    anchors: Float[Array, "r i"]
    spacing: Float[Array, ""]
    reach: Float[Array, ""]
    maximum: Float[Array, ""]  # 0 before any data

    @classmethod
    def zero(cls, input_size: int, anchors: int) -> "Trust":
        """No trust anywhere."""
        one = jnp.ones(())
        return cls(Standardiser.identity(input_size), jnp.zeros((anchors, input_size)), one, one, jnp.zeros(()))

    @classmethod
    def fit(
        cls, inputs: Float[Array, "b i"], valid: Bool[Array, "b"], *, anchors: int, reach: Float[Array, ""]
    ) -> "Trust":
        """Each anchor is the row furthest from those before it, so that a few anchors cover many rows.

        `spacing` is the median distance of an anchor to those before it, and at least the distance of any row to its
        anchor; with a single row it is one, the std assigned to a constant column.
        """
        scale = Standardiser.fit(inputs, valid)
        points = jnp.where(valid[:, None], scale(inputs), 0.0)

        def distances(index: Int[Array, ""]) -> Float[Array, "b"]:
            return jnp.where(valid, jnp.linalg.norm(points - points[index], axis=1), 0.0)

        def choose(nearest: Float[Array, "b"], _: None) -> tuple[Float[Array, "b"], tuple[Array, Array]]:
            index = jnp.argmax(jnp.where(valid, nearest, -1.0))
            return jnp.minimum(nearest, distances(index)), (index, nearest[index])

        first = jnp.argmax(valid)
        nearest, (chosen, gaps) = jax.lax.scan(choose, distances(first), length=anchors - 1)
        gap = jnp.nanmedian(jnp.where(gaps > 0, gaps, jnp.nan))
        spacing = jnp.maximum(jnp.where(jnp.isfinite(gap), gap, 1.0), nearest.max())
        return cls(scale, points[jnp.concatenate([first[None], chosen])], spacing, reach, valid.any().astype(float))

    def __call__(self, inputs: Float[Array, "i"]) -> Float[Array, ""]:
        squared = jnp.sum((self.anchors - self.scale(inputs)) ** 2, axis=1)
        # The root has no gradient at zero, and distances below the spacing do not matter.
        distance = jnp.sqrt(jnp.maximum(squared.min(), 1e-12))
        beyond = jnp.maximum(distance - self.spacing, 0.0) / (self.reach * self.spacing)
        return self.maximum * jnp.exp(-(beyond**2) / 2)
