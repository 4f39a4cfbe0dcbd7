"""The Gaussian process as a belief, and the worlds drawn from it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.models.base import AbstractDynamics, copies
from handful.models.gp.function_samples import FunctionSample
from handful.models.gp.posterior import Posterior
from handful.types import Prediction


class GPWorld(AbstractDynamics):
    """One function drawn from the posterior, read as a transition function with process noise."""

    function: FunctionSample
    noise_variance: Float[Array, "o"]  # on standardised targets
    trend: Float[Array, "i o"]
    input_scale: Standardiser
    target_scale: Standardiser
    features: Features

    @property
    def world_count(self) -> int:
        return 1

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        inputs = self.input_scale(self.features.inputs(obs, action))
        target = self.target_scale.inverse(self.function(inputs)) + inputs @ self.trend
        noise = self.noise_variance * self.target_scale.std**2
        following = self.features.next_obs(obs, target)
        return Prediction(following, noise, jnp.zeros_like(noise))

    def worlds(self, key: PRNGKeyArray, count: int) -> "GPWorld":
        return copies(self, count)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        prediction = self.predict(obs, action)
        return prediction.mean + jnp.sqrt(prediction.aleatoric) * jax.random.normal(key, obs.shape, obs.dtype)


class GaussianProcess(AbstractDynamics):
    """One Gaussian process for each entry of the target around a linear trend, exact given its rows.

    Aleatoric variance is the fitted noise, epistemic the posterior variance of the function. A world is a function
    drawn from the posterior, so there are endlessly many.

    Source: [Rasmussen06] chapter 2; worlds [Wilson20]. Deviates: see `Posterior` and `FunctionSample`.
    """

    posterior: Posterior
    trend: Float[Array, "i o"]  # of the target, in its own units, on standardised inputs; taken as known
    input_scale: Standardiser
    target_scale: Standardiser
    features: Features
    world_features: int = eqx.field(static=True, default=128)  # Fourier features of a world's prior part

    @property
    def world_count(self) -> None:
        return None

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        inputs = self._input(obs, action)
        mean, variance = self.posterior.mean_and_variance(inputs)
        unit = self.target_scale.std**2
        following = self.features.next_obs(obs, self.target_scale.inverse(mean) + inputs @ self.trend)
        return Prediction(following, self.posterior.noise_variance * unit, variance * unit)

    def worlds(self, key: PRNGKeyArray, count: int) -> GPWorld:
        def world(key: PRNGKeyArray) -> GPWorld:
            function = FunctionSample.draw(key, self.posterior, self.world_features)
            noise = self.posterior.noise_variance
            return GPWorld(function, noise, self.trend, self.input_scale, self.target_scale, self.features)

        return eqx.filter_vmap(world)(jax.random.split(key, count))

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        prediction = self.predict(obs, action)
        std = jnp.sqrt(prediction.aleatoric + prediction.epistemic)
        return prediction.mean + std * jax.random.normal(key, obs.shape, obs.dtype)

    def append(
        self, obs: Float[Array, "b o"], action: Float[Array, "b a"], next_obs: Float[Array, "b o"]
    ) -> "GaussianProcess":
        """The belief given more rows, with the same hyperparameters and scales; O(N^2) a row."""
        inputs = jax.vmap(self._input)(obs, action)
        targets = self.target_scale(jax.vmap(self.features.target)(obs, next_obs) - inputs @ self.trend)
        return eqx.tree_at(lambda belief: belief.posterior, self, self.posterior.append_all(inputs, targets))

    def _input(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "i"]:
        return self.input_scale(self.features.inputs(obs, action))
