"""Rules that adapt the coefficient beta of a KL penalty from update to update."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.fields import Real, check_finite, check_within, real

MIN_BETA, MAX_BETA = 1e-4, 1e4  # close enough that beta returns from either within a few updates
_MAX_LOG_STEP = 2.0  # of log beta per update, so that one outlier does not spoil the next hundred updates


class AbstractPenalty(eqx.Module):
    """A rule for beta, which stays within [1e-4, 1e4] and is left unchanged by a KL divergence that is not finite."""

    beta: eqx.AbstractVar[Float[Array, ""]]  # initial
    target: eqx.AbstractVar[Float[Array, ""]]  # desired KL divergence of an update [nats]

    def __call__(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        """Beta after an update with this KL divergence."""
        return jnp.where(jnp.isfinite(kl), jnp.clip(self.adapt(beta, kl), MIN_BETA, MAX_BETA), beta)

    @abstractmethod
    def adapt(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        """The rule itself, without limits."""


class DualDescent(AbstractPenalty):
    """One gradient step per update, in log beta, on the dual of `max E[ratio advantage] s.t. KL <= target`.

    `log beta += learning_rate (KL / target - 1)`, by at most 2.

    Source: [Boyd04] chapter 5 for the dual. Deviates: the step is in log beta, which keeps beta positive, and relative
    to the target.
    """

    beta: Real = real(1.0)
    target: Real = real(0.01)
    learning_rate: Real = real(0.5)

    def __check_init__(self) -> None:
        for name in ("beta", "target"):
            check_within(self, name, 0.0, least_excluded=True)
        check_within(self, "learning_rate", 0.0)
        check_finite(self, "beta", "target", "learning_rate")

    def adapt(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        return beta * jnp.exp(jnp.clip(self.learning_rate * (kl / self.target - 1), -_MAX_LOG_STEP, _MAX_LOG_STEP))


class Doubling(AbstractPenalty):
    """Doubles beta after an update whose KL is above 1.5 times the target, halves it below 2/3 of the target.

    Source: [Schulman17] section 4. Deviates: no.
    """

    beta: Real = real(1.0)
    target: Real = real(0.01)

    def __check_init__(self) -> None:
        for name in ("beta", "target"):
            check_within(self, name, 0.0, least_excluded=True)
        check_finite(self, "beta", "target")

    def adapt(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        return beta * jnp.where(kl > 1.5 * self.target, 2.0, jnp.where(kl < self.target / 1.5, 0.5, 1.0))


class Fixed(AbstractPenalty):
    """A constant beta.

    Source: [Schulman17] section 6.1. Deviates: no.
    """

    beta: Real = real(1.0)
    target: Real = real(0.0)  # has no effect on the gradient

    def __check_init__(self) -> None:
        for name in ("beta", "target"):
            check_within(self, name, 0.0)
        check_finite(self, "beta", "target")

    def adapt(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        return beta
