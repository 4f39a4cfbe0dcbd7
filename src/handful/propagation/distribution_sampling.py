"""Propagators that use the mean and the variance of the belief only."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics, predicted, root
from handful.propagation.base import AbstractParticles


class Expectation(AbstractParticles):
    """One particle that follows the mean of the belief: uncertainty is ignored.

    Source: [Chua18] section 5.1, E. Deviates: no.
    """

    particles: int = eqx.field(static=True, default=1, init=False)

    def draw(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> None:
        return None

    def move(
        self, drawn: None, started: AbstractDynamics, obs: Float[Array, "p o"], action: Float[Array, "p a"]
    ) -> Float[Array, "p o"]:
        return jax.vmap(lambda o, a: predicted(started, o, a).mean)(obs, action)


class DistributionSampling(AbstractParticles):
    """Each particle is drawn in every step from a Gaussian with the mean and the total variance of the belief.

    Source: [Chua18] section 5.1, DS. Deviates: no.
    """

    particles: int = eqx.field(static=True, default=20)

    def draw(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Float[Array, "p o"]:
        return jax.random.normal(key, (self.particles, *obs.shape))

    def move(
        self,
        drawn: Float[Array, "p o"],
        started: AbstractDynamics,
        obs: Float[Array, "p o"],
        action: Float[Array, "p a"],
    ) -> Float[Array, "p o"]:
        return _sampled(drawn, started, obs, action)


class MomentMatching(AbstractParticles):
    """As distribution sampling; then all particles are redrawn from the diagonal Gaussian with their moments.

    With `of_changes` the changes of the particles in this step are redrawn from the Gaussian with the moments of the
    changes, and each particle adds one to the place where it is; entries in `memoryless` are predicted as they are, and
    redrawn as they are.

    Source: [Chua18] section 5.1, MM; `of_changes` as in the released code. Deviates: no.
    """

    particles: int = eqx.field(static=True, default=20)
    of_changes: bool = eqx.field(static=True, default=False)
    memoryless: tuple[int, ...] = eqx.field(static=True, default=())

    def draw(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Float[Array, "2 p o"]:
        return jax.random.normal(key, (2, self.particles, *obs.shape))

    def move(
        self,
        drawn: Float[Array, "2 p o"],
        started: AbstractDynamics,
        obs: Float[Array, "p o"],
        action: Float[Array, "p a"],
    ) -> Float[Array, "p o"]:
        sampled = _sampled(drawn[0], started, obs, action)
        kept = jnp.where(np.isin(np.arange(obs.shape[1]), self.memoryless), 0.0, obs) if self.of_changes else 0.0
        change = sampled - kept
        return kept + change.mean(0) + root(change.var(0)) * drawn[1]


def _sampled(
    noise: Float[Array, "p o"], model: AbstractDynamics, obs: Float[Array, "p o"], action: Float[Array, "p a"]
) -> Float[Array, "p o"]:
    prediction = jax.vmap(lambda o, a: predicted(model, o, a))(obs, action)
    return prediction.mean + root(prediction.aleatoric + prediction.epistemic) * noise
