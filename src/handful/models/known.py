"""Dynamics that are known: a function, believed without doubt."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics, copies
from handful.types import Prediction


class KnownDynamics(AbstractDynamics):
    """`next_obs = function(obs, action)`: the upper line of every comparison, and the oracle of every planner.

    The function may be an `equinox.Module` with parameters as array fields.
    """

    function: Callable[[Float[Array, "o"], Float[Array, "a"]], Float[Array, "o"]]

    @property
    def world_count(self) -> int:
        return 1

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        zero = jnp.zeros_like(obs)
        return Prediction(self.function(obs, action), zero, zero)

    def worlds(self, key: PRNGKeyArray, count: int) -> "KnownDynamics":
        return copies(self, count)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        return self.function(obs, action)
