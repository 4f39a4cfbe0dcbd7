"""The rows of a dataset as inputs and targets of a model."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from handful.data.dataset import Dataset
from handful.data.features import Features


class Rows(eqx.Module):
    """Training data of a model. Rows that are not valid are zero."""

    inputs: Float[Array, "b i"]
    targets: Float[Array, "b o"]
    valid: Bool[Array, "b"]  # rows that hold data, all of it finite

    @classmethod
    def of(cls, features: Features, data: Dataset) -> "Rows":
        rows = data.transitions
        inputs = jax.vmap(features.inputs)(rows.obs, rows.action)
        targets = jax.vmap(features.target)(rows.obs, rows.next_obs)
        valid = data.mask() & finite_rows(inputs, targets)
        inputs, targets = (jnp.where(valid[:, None], values, 0.0) for values in (inputs, targets))
        return cls(inputs, targets, valid)


def finite_rows(*arrays: Float[Array, "b _"]) -> Bool[Array, "b"]:
    """True for rows that are finite in all arrays."""
    finite = jnp.ones(arrays[0].shape[0], bool)
    for values in arrays:
        finite = finite & jnp.isfinite(values).all(axis=1)
    return finite
