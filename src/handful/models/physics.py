"""Physics with unknown parameters: the equations are known, their parameters uncertain."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics, AbstractWorld, copies
from handful.models.physics_laws import AbstractLaw
from handful.models.physics_parameters import Parameters
from handful.types import Prediction


class PhysicsWorld(AbstractWorld):
    """The equations with one set of parameters, and Gaussian process noise."""

    law: AbstractLaw
    values: Float[Array, "q"]
    noise: Float[Array, "o"]  # std
    names: tuple[str, ...] = eqx.field(static=True)
    dt: float = eqx.field(static=True)  # [s]

    def mean(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        return self.law.step(obs, action, dict(zip(self.names, self.values, strict=True)), self.dt)

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        return Prediction(self.mean(obs, action), self.noise**2, jnp.zeros_like(self.noise))


class Physics(AbstractDynamics):
    """Equations whose parameters are Gaussian in the free coordinates of `Parameters`: `z ~ N(centre, factor factor')`.

    `predict` is linear in z: with J = d next_obs / d z at the centre, the epistemic variance is the diagonal of
    `J factor factor' J'`. Worlds are drawn from the distribution itself.

    Source: [MacKay92] for the linearised predictive variance. Deviates: no.
    """

    law: AbstractLaw
    parameters: Parameters
    centre: Float[Array, "q"]
    factor: Float[Array, "q q"]
    noise: Float[Array, "o"]  # std
    dt: float = eqx.field(static=True)  # [s]

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
