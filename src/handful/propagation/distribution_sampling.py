"""Propagators that look only at the belief's mean and variance."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.policies.base import AbstractPolicy
from handful.propagation.base import AbstractPropagator
from handful.propagation.particles import roll
from handful.types import Rollout


class Expectation(AbstractPropagator):
    """One particle that follows the belief's mean: uncertainty is ignored.

    Source: [Chua18] section 5.1, E. Deviates: no.
    """

    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        def draw(key: PRNGKeyArray) -> None:
            return None

        def move(drawn: None, obs: Float[Array, "p o"], action: Float[Array, "p a"]) -> Float[Array, "p o"]:
            return jax.vmap(lambda o, a: model.predict(o, a).mean)(obs, action)

        return roll(key, policy, obs, draw=draw, move=move, particles=1, horizon=horizon)


class DistributionSampling(AbstractPropagator):
    """Each particle is drawn at every step from a Gaussian with the belief's mean and total variance.

    Source: [Chua18] section 5.1, DS. Deviates: no.
    """

    particles: int = eqx.field(static=True, default=20)

    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        def draw(key: PRNGKeyArray) -> Float[Array, "p o"]:
            return jax.random.normal(key, (self.particles, *obs.shape))

        def move(
            noise: Float[Array, "p o"], obs: Float[Array, "p o"], action: Float[Array, "p a"]
        ) -> Float[Array, "p o"]:
            return _drawn(noise, model, obs, action)

        return roll(key, policy, obs, draw=draw, move=move, particles=self.particles, horizon=horizon)


class MomentMatching(AbstractPropagator):
    """As distribution sampling; then all particles are redrawn from the diagonal Gaussian that fits them.

    Source: [Chua18] section 5.1, MM. Deviates: no.
    """

    particles: int = eqx.field(static=True, default=20)

    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        def draw(key: PRNGKeyArray) -> Float[Array, "2 p o"]:
            return jax.random.normal(key, (2, self.particles, *obs.shape))

        def move(
            noise: Float[Array, "2 p o"], obs: Float[Array, "p o"], action: Float[Array, "p a"]
        ) -> Float[Array, "p o"]:
            drawn = _drawn(noise[0], model, obs, action)
            return drawn.mean(0) + root(drawn.var(0)) * noise[1]

        return roll(key, policy, obs, draw=draw, move=move, particles=self.particles, horizon=horizon)


def _drawn(
    noise: Float[Array, "p o"], model: AbstractDynamics, obs: Float[Array, "p o"], action: Float[Array, "p a"]
) -> Float[Array, "p o"]:
    prediction = jax.vmap(model.predict)(obs, action)
    return prediction.mean + root(prediction.aleatoric + prediction.epistemic) * noise


def root(variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The std. Its derivative at zero, where the square root has none, is zero: plans are differentiated through it."""
    none = variance == 0
    return jnp.where(none, 0.0, jnp.sqrt(jnp.where(none, 1.0, variance)))
