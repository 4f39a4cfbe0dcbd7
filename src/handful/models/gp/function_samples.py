"""Functions drawn from a posterior, to be evaluated anywhere at the cost of a mean."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.gp.kernels import AbstractKernel
from handful.models.gp.posterior import Posterior


class FunctionSample(eqx.Module):
    """One function for each output: a draw from the prior, corrected by the data.

    With `f` the prior draw, `e` fresh noise, `X` the rows and `y` their targets:

        sample(x) = f(x) + k(x, X) K^-1 (y - f(X) - e)
        f(x) = sum_j a_j cos(w_j x) + b_j sin(w_j x),  w from the kernel's spectral density, a and b normal

    The frequencies are drawn anew for every sample and every output: on average over samples the prior draw then has
    the kernel's covariance exactly, however few features it has.

    Source: [Wilson20] equation 12. Deviates: frequencies of their own for each sample; cosine and sine in pairs.
    """

    kernel: AbstractKernel  # every leaf has a leading axis o
    inputs: Float[Array, "capacity i"]
    correction: Float[Array, "o capacity"]
    frequencies: Float[Array, "o f i"]
    amplitudes: Float[Array, "o 2 f"]  # of cosine and of sine

    @classmethod
    def draw(cls, key: PRNGKeyArray, posterior: Posterior, features: int) -> "FunctionSample":
        """A draw whose prior part has that many features, half of them cosines."""
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
        alike = jax.vmap(lambda kernel: kernel(query[None], self.inputs)[0])(self.kernel)
        prior = jax.vmap(lambda w, a: _waves(query[None], w, a)[0])(self.frequencies, self.amplitudes)
        return prior + jnp.sum(alike * self.correction, axis=1)


def _waves(
    inputs: Float[Array, "b i"], frequencies: Float[Array, "f i"], amplitudes: Float[Array, "2 f"]
) -> Float[Array, "b"]:
    phase = jnp.matmul(inputs, frequencies.T, precision="highest")
    waves = jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=1)
    return jnp.matmul(waves, amplitudes.reshape(-1), precision="highest")
