"""What the nets of a policy or a value see of an observation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from handful.data.features import Features
from handful.data.moments import Moments
from handful.task import Task

_FAR = 10.0  # [std] what lies further off counts as this far
_LEAST_VAR = 1e-8


class Inputs(eqx.Module):
    """Sine and cosine for angles, and each entry standardised by the running statistics of all that was seen.

    Statistics change by `seeing` alone, so a policy whose ratios are being formed keeps still. Without any, the map is
    the identity.
    """

    features: Features
    moments: Moments

    @classmethod
    def of(cls, task: Task) -> "Inputs":
        features = Features(task.obs_size, 0, task.angles, task.memoryless)
        return cls(features, Moments.of((features.input_size,)))

    @property
    def size(self) -> int:
        return self.features.input_size

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, "i"]:
        standard = (self._raw(obs) - self.moments.mean) / jnp.sqrt(jnp.maximum(self.moments.var, _LEAST_VAR))
        return jnp.where(self.moments.count > 0, jnp.clip(standard, -_FAR, _FAR), standard)

    def seeing(self, obs: Float[Array, "*b o"], counted: Bool[Array, "*b"] | None = None) -> "Inputs":
        """With the statistics of these observations too, or of those that are counted.

        Where any of these is not finite, they stay as they were.
        """
        values = jax.vmap(self._raw)(obs.reshape(-1, obs.shape[-1]))
        counted = jnp.ones(values.shape[0], bool) if counted is None else counted.reshape(-1)
        moved = Inputs(self.features, self.moments.seeing(values, counted))
        usable = (jnp.isfinite(values).all(1) | ~counted).all()
        return jax.tree.map(lambda new, old: jnp.where(usable, new, old), moved, self)

    def _raw(self, obs: Float[Array, "o"]) -> Float[Array, "i"]:
        return self.features.inputs(obs, obs[:0])
