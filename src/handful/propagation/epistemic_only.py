"""Propagation without process noise, as with nets that predict a point."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics, one_world, predicted
from handful.policies.base import AbstractPolicy
from handful.propagation.base import AbstractPropagator
from handful.types import Prediction, Rollout


class MeanDynamics(AbstractDynamics):
    """`belief` without process noise: each world moves to its mean."""

    belief: AbstractDynamics

    @property
    def world_count(self) -> int | None:
        return self.belief.world_count

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        prediction = self.belief.predict(obs, action)
        return Prediction(prediction.mean, jnp.zeros_like(prediction.aleatoric), prediction.epistemic)

    def worlds(self, key: PRNGKeyArray, count: int) -> "MeanDynamics":
        return MeanDynamics(self.belief.worlds(key, count))

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        return predicted(one_world(key, self.belief), obs, action).mean  # no noise is drawn to be multiplied by zero


class EpistemicOnly(AbstractPropagator):
    """As `propagator`, but without process noise: particles differ by epistemic uncertainty alone.

    Source: [Chua18] section 5.1, with D and DE. Deviates: no.
    """

    propagator: AbstractPropagator

    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        return self.propagator(key, MeanDynamics(model), policy, obs, horizon)
