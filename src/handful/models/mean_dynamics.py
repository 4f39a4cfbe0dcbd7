"""A belief whose worlds have no process noise: what is left is doubt."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.types import Prediction


class MeanDynamics(AbstractDynamics):
    """Each world of `belief` goes where its mean does."""

    belief: AbstractDynamics

    @property
    def world_count(self) -> int | None:
        return self.belief.world_count

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        told = self.belief.predict(obs, action)
        return Prediction(told.mean, jnp.zeros_like(told.aleatoric), told.epistemic)

    def worlds(self, key: PRNGKeyArray, count: int) -> "MeanDynamics":
        return MeanDynamics(self.belief.worlds(key, count))

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        if self.world_count == 1:
            return self.belief.predict(obs, action).mean
        drawn = eqx.filter_vmap(lambda world: world.predict(obs, action).mean)(self.belief.worlds(key, 1))
        return drawn[0]
