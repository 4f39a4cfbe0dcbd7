"""The inputs of policy and value nets, made from an observation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from handful.data.features import Features
from handful.data.moments import Moments
from handful.task import Task

_CLIP = 10.0  # [std]
_MIN_VAR = 1e-8


class Inputs(eqx.Module):
    """Sine and cosine of angles, and every entry standardised by running statistics and clipped to 10 std.

    Only `update_normaliser` changes the statistics, so probability ratios within an update are consistent. Before any
    statistics, entries are passed on as they are.
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
        standard = (self._raw(obs) - self.moments.mean) / jnp.sqrt(jnp.maximum(self.moments.var, _MIN_VAR))
        return jnp.where(self.moments.count > 0, jnp.clip(standard, -_CLIP, _CLIP), standard)

    def update_normaliser(self, obs: Float[Array, "*b o"], valid: Bool[Array, "*b"] | None = None) -> "Inputs":
        """With these observations, or the valid ones, added to the statistics; unchanged if any is not finite."""
        values = jax.vmap(self._raw)(obs.reshape(-1, obs.shape[-1]))
        valid = jnp.ones(values.shape[0], bool) if valid is None else valid.reshape(-1)
        updated = Inputs(self.features, self.moments.update(values, valid))
        usable = (jnp.isfinite(values).all(1) | ~valid).all() & jnp.isfinite(updated.moments.var).all()
        return jax.tree.map(lambda new, old: jnp.where(usable, new, old), updated, self)

    def _raw(self, obs: Float[Array, "o"]) -> Float[Array, "i"]:
        return self.features.inputs(obs, obs[:0])
