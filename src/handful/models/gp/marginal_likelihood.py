"""How probable the data are under a covariance, and what is thought of the covariance before."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.fields import Real, real
from handful.models.gp.covariance import Covariance
from handful.models.gp.kernels import AbstractKernel
from handful.models.gp.whitening import inverse, inverse_cholesky

# A kernel's class: from the logarithms of lengthscales and std to the kernel.
MakeKernel = Callable[[Float[Array, "i"], Float[Array, ""]], AbstractKernel]


@jax.custom_vjp
def neg_log_marginal_likelihood(matrix: Float[Array, "n n"], targets: Float[Array, "n"]) -> Float[Array, ""]:
    """`(y^T K^-1 y + log |K|) / 2`: the negative log-density of the targets, but for its constant.

    Its gradient by K is `(K^-1 - a a^T) / 2` with `a = K^-1 y`, in closed form: differentiating through the
    factorisation would cost several times as much.

    Source: [Rasmussen06] equations 5.8 and 5.9. Deviates: no.
    """
    return _neg_log_marginal_likelihood(matrix, targets)[0]


def _neg_log_marginal_likelihood(
    matrix: Float[Array, "n n"], targets: Float[Array, "n"]
) -> tuple[Float[Array, ""], tuple]:
    white = inverse_cholesky(matrix)
    whitened = jnp.matmul(white, targets, precision="highest")
    value = 0.5 * jnp.sum(whitened**2) - jnp.sum(jnp.log(jnp.diagonal(white)))
    return value, (white, jnp.matmul(whitened, white, precision="highest"))


def _gradient(kept: tuple, scale: Float[Array, ""]) -> tuple[Float[Array, "n n"], Float[Array, "n"]]:
    white, weights = kept
    return 0.5 * scale * (inverse(white) - weights[:, None] * weights), scale * weights


neg_log_marginal_likelihood.defvjp(_neg_log_marginal_likelihood, _gradient)


class LogNormal(eqx.Module):
    """A positive number whose logarithm is normal."""

    median: Real = real(1.0)
    spread: Real = real(1.0)  # std of the logarithm

    def neg_log_prob(self, logarithm: Float[Array, "*b"]) -> Float[Array, ""]:
        """The negative log-density of the logarithms, but for its constant."""
        return 0.5 * jnp.sum(((logarithm - jnp.log(self.median)) / self.spread) ** 2)


class Priors(eqx.Module):
    """What is thought of a covariance on standardised inputs and targets before there are data.

    The ratio of noise to signal is held off zero, where the matrix loses its inverse, and off one, where nothing is
    learned.
    """

    lengthscales: LogNormal = eqx.field(default_factory=lambda: LogNormal(3.0, 1.0))
    signal: LogNormal = eqx.field(default_factory=lambda: LogNormal(1.0, 1.0))
    ratio: LogNormal = eqx.field(default_factory=lambda: LogNormal(0.1, 1.5))  # noise std / signal std

    def neg_log_prob(self, covariance: Covariance) -> Float[Array, ""]:
        kernel = covariance.kernel
        return (
            self.lengthscales.neg_log_prob(kernel.log_lengthscales)
            + self.signal.neg_log_prob(kernel.log_std)
            + self.ratio.neg_log_prob(covariance.log_noise - kernel.log_std)
        )

    def medians(self, kernel: MakeKernel, inputs: int) -> Covariance:
        """The covariance that has every parameter at its median."""
        signal = jnp.log(self.signal.median)
        lengthscales = jnp.broadcast_to(jnp.log(self.lengthscales.median), (inputs,))
        return Covariance(kernel(lengthscales, signal), signal + jnp.log(self.ratio.median))

    def draw(self, key: PRNGKeyArray, like: Covariance) -> Covariance:
        """A covariance drawn from the priors, of the kernel and the sizes of another."""
        length_key, signal_key, ratio_key = jax.random.split(key, 3)

        def drawn(key: PRNGKeyArray, prior: LogNormal, held: Float[Array, "*s"]) -> Float[Array, "*s"]:
            return jnp.log(prior.median) + prior.spread * jax.random.normal(key, held.shape, held.dtype)

        signal = drawn(signal_key, self.signal, like.kernel.log_std)
        lengthscales = drawn(length_key, self.lengthscales, like.kernel.log_lengthscales)
        noise = signal + drawn(ratio_key, self.ratio, like.log_noise)
        parts = lambda c: (c.kernel.log_lengthscales, c.kernel.log_std, c.log_noise)  # noqa: E731
        return eqx.tree_at(parts, like, (lengthscales, signal, noise))


def objective(
    priors: Priors,
    covariance: Covariance,
    inputs: Float[Array, "n i"],
    targets: Float[Array, "n"],
    mask: Float[Array, "n"],
) -> Float[Array, ""]:
    """Objective of one output's fit: negative log marginal likelihood plus the priors' negative log density [nats]."""
    return neg_log_marginal_likelihood(covariance.matrix(inputs, mask), targets * mask) + priors.neg_log_prob(
        covariance
    )
