"""Physics with unknown parameters: a belief that knows the equations and doubts the numbers."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics, copies
from handful.models.physics_laws import AbstractLaw
from handful.models.physics_parameters import Parameters
from handful.types import Prediction


class PhysicsWorld(AbstractDynamics):
    """The equations with one set of numbers, and Gaussian process noise."""

    law: AbstractLaw
    values: Float[Array, "q"]
    noise: Float[Array, "o"]  # std
    names: tuple[str, ...] = eqx.field(static=True)
    dt: float = eqx.field(static=True)  # [s]

    @property
    def world_count(self) -> int:
        return 1

    def mean(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        return self.law.step(obs, action, dict(zip(self.names, self.values, strict=True)), self.dt)

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        return Prediction(self.mean(obs, action), self.noise**2, jnp.zeros_like(self.noise))

    def worlds(self, key: PRNGKeyArray, count: int) -> "PhysicsWorld":
        return copies(self, count)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        return self.mean(obs, action) + self.noise * jax.random.normal(key, self.noise.shape, self.noise.dtype)


class Physics(AbstractDynamics):
    """Equations whose parameters are Gaussian in the free coordinates of `Parameters`: `z ~ N(centre, factor factor')`.

    `predict` is linear in the doubt: with J = d next_obs / d z at the centre, the epistemic variance is the diagonal of
    `J factor factor' J'`. Worlds are drawn from the whole distribution.

    Source: [MacKay92] for the linearised predictive variance. Deviates: no.
    """

    law: AbstractLaw
    parameters: Parameters
    centre: Float[Array, "q"]
    factor: Float[Array, "q q"]
    noise: Float[Array, "o"]  # std
    dt: float = eqx.field(static=True)  # [s]

    @property
    def world_count(self) -> None:
        return None

    def at(self, z: Float[Array, "q"]) -> PhysicsWorld:
        """The world whose parameters have the free coordinates z."""
        return PhysicsWorld(self.law, self.parameters.values(z), self.noise, self.parameters.names, self.dt)

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        mean, along = jax.linearize(lambda z: self.at(z).mean(obs, action), self.centre)
        return Prediction(mean, self.noise**2, jnp.sum(jax.vmap(along)(self.factor.T) ** 2, axis=0))

    def worlds(self, key: PRNGKeyArray, count: int) -> PhysicsWorld:
        draws = jax.random.normal(key, (count, *self.centre.shape), self.centre.dtype)
        values = jax.vmap(self.parameters.values)(self.centre + draws @ self.factor.T)
        return eqx.tree_at(lambda world: world.values, copies(self.at(self.centre), count), values)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        world_key, noise_key = jax.random.split(key)
        draw = jax.random.normal(world_key, self.centre.shape, self.centre.dtype)
        return self.at(self.centre + self.factor @ draw).sample(noise_key, obs, action)
