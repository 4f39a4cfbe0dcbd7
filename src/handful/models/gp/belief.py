"""The Gaussian process as a belief, and functions drawn from it as worlds."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.models.base import AbstractDynamics, AbstractWorld, gaussian
from handful.models.gp.kernels import AbstractKernel
from handful.models.gp.posterior import Posterior
from handful.types import Prediction


class GPWorld(AbstractWorld):
    """One function drawn from the posterior, as a transition function with process noise."""

    function: "FunctionSample"
    noise_variance: Float[Array, "o"]  # on standardised targets
    trend: Float[Array, "i o"]
    input_scale: Standardiser
    target_scale: Standardiser
    features: Features

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        inputs = self.input_scale(self.features.inputs(obs, action))
        target = self.target_scale.inverse(self.function(inputs)) + inputs @ self.trend
        noise = self.noise_variance * self.target_scale.std**2
        following = self.features.next_obs(obs, target)
        return Prediction(following, noise, jnp.zeros_like(noise))


class GaussianProcess(AbstractDynamics):
    """An exact Gaussian process for each entry of the target, around a linear trend.

    Aleatoric variance is the fitted noise, epistemic the posterior variance of the function. A world is a function
    drawn from the posterior.

    Source: [Rasmussen06] chapter 2; worlds [Wilson20]. Deviates: see `Posterior` and `FunctionSample`.
    """

    posterior: Posterior
    trend: Float[Array, "i o"]  # of the target, in its units, on standardised inputs; without uncertainty
    input_scale: Standardiser
    target_scale: Standardiser
    features: Features
    world_features: int = eqx.field(static=True, default=128)  # Fourier features of a world's prior part

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
        prediction = self.predict(obs, action)  # the marginal of a drawn function, which would cost much more
        return gaussian(key, prediction.mean, prediction.aleatoric + prediction.epistemic)

    def append(
        self, obs: Float[Array, "b o"], action: Float[Array, "b a"], next_obs: Float[Array, "b o"]
    ) -> "GaussianProcess":
        """The belief given more rows, with the same hyperparameters and scales; O(N^2) per row."""
        inputs = jax.vmap(self._input)(obs, action)
        targets = self.target_scale(jax.vmap(self.features.target)(obs, next_obs) - inputs @ self.trend)
        return eqx.tree_at(lambda belief: belief.posterior, self, self.posterior.append_all(inputs, targets))

    def _input(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "i"]:
        return self.input_scale(self.features.inputs(obs, action))


class FunctionSample(eqx.Module):
    """One function for each output: a draw from the prior, corrected by the data. It costs as much as a mean.

    With `f` the prior draw, `e` a draw of the noise, `X` the rows and `y` their targets:

        sample(x) = f(x) + k(x, X) K^-1 (y - f(X) - e)
        f(x) = sum_j a_j cos(w_j x) + b_j sin(w_j x),  w from the kernel's spectral density, a and b normal

    Frequencies are drawn for every sample and every output separately: on average over samples the covariance of the
    prior draw is then exactly that of the kernel, with any number of features.

    Source: [Wilson20] equation 12. Deviates: separate frequencies for each sample; cosine and sine in pairs.
    """

    kernel: AbstractKernel  # every leaf has a leading axis o
    inputs: Float[Array, "capacity i"]
    correction: Float[Array, "o capacity"]
    frequencies: Float[Array, "o f i"]
    amplitudes: Float[Array, "o 2 f"]  # of cosine and of sine

    @classmethod
    def draw(cls, key: PRNGKeyArray, posterior: Posterior, features: int) -> "FunctionSample":
        """A draw whose prior part has `features` Fourier features, half of them cosines."""
        prior_key, noise_key = jax.random.split(key)
        outputs, dtype = posterior.weights.shape[0], posterior.weights.dtype
        kernel, pairs = posterior.covariance.kernel, features // 2

        def prior(key: PRNGKeyArray, kernel: AbstractKernel) -> tuple[Array, Array]:
            frequency_key, amplitude_key = jax.random.split(key)
            size = jnp.sqrt(kernel.variance / pairs)
            return kernel.frequencies(frequency_key, pairs), size * jax.random.normal(amplitude_key, (2, pairs), dtype)

        frequencies, amplitudes = jax.vmap(prior)(jax.random.split(prior_key, outputs), kernel)
        at_rows = jax.vmap(lambda w, a: _waves(posterior.inputs, w, a))(frequencies, amplitudes)
        diagonal = jax.vmap(lambda c: c.diagonal)(posterior.covariance)
        noise = jnp.sqrt(diagonal)[:, None] * jax.random.normal(noise_key, at_rows.shape, dtype)
        correction = posterior.weights - posterior.solve(posterior.mask * (at_rows + noise))
        return cls(kernel, posterior.inputs, correction, frequencies, amplitudes)

    def __call__(self, query: Float[Array, "i"]) -> Float[Array, "o"]:
        covariance = jax.vmap(lambda kernel: kernel(query[None], self.inputs)[0])(self.kernel)
        prior = jax.vmap(lambda w, a: _waves(query[None], w, a)[0])(self.frequencies, self.amplitudes)
        return prior + jnp.sum(covariance * self.correction, axis=1)


def _waves(
    inputs: Float[Array, "b i"], frequencies: Float[Array, "f i"], amplitudes: Float[Array, "2 f"]
) -> Float[Array, "b"]:
    phase = jnp.matmul(inputs, frequencies.T, precision="highest")
    waves = jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=1)
    return jnp.matmul(waves, amplitudes.reshape(-1), precision="highest")
