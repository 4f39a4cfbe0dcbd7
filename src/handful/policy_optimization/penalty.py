"""How dear it is to move a policy: the weight beta of a KL penalty, from update to update."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.fields import Real, check_within, real

LEAST, MOST = 1e-4, 1e4  # of beta: it comes back from either end within a few updates
_GROWTH = 2.0  # of log beta in an update at most, so that one wild update does not end the next hundred


class AbstractPenalty(eqx.Module):
    """A rule for beta, which stays between a ten-thousandth and ten thousand; what is not a number leaves it alone."""

    beta: eqx.AbstractVar[Float[Array, ""]]  # to begin with
    target: eqx.AbstractVar[Float[Array, ""]]  # the KL divergence of an update that is wanted [nats]

    def __call__(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        """Beta after an update that came to `kl`."""
        return jnp.where(jnp.isfinite(kl), jnp.clip(self.moved(beta, kl), LEAST, MOST), beta)

    @abstractmethod
    def moved(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        """The rule itself."""


class DualDescent(AbstractPenalty):
    """One step of descent in log beta on the dual of `max E[ratio advantage] s.t. KL <= target`, once an update.

    `log beta += rate (KL / target - 1)`, at most 2 at a time.

    Source: [Boyd04] chapter 5 for the dual. Deviates: the step is in the logarithm, which keeps beta positive, and
    relative to the target.
    """

    beta: Real = real(1.0)
    target: Real = real(0.01)
    rate: Real = real(0.5)

    def __check_init__(self) -> None:
        check_within(self, "target", 0.0, least_excluded=True)

    def moved(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        return beta * jnp.exp(jnp.clip(self.rate * (kl / self.target - 1), -_GROWTH, _GROWTH))


class Doubling(AbstractPenalty):
    """Twice the beta after an update that went more than 1.5 times too far, half after one that went less than 2/3.

    Source: [Schulman17] section 4. Deviates: no.
    """

    beta: Real = real(1.0)
    target: Real = real(0.01)

    def __check_init__(self) -> None:
        check_within(self, "target", 0.0, least_excluded=True)

    def moved(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        return beta * jnp.where(kl > 1.5 * self.target, 2.0, jnp.where(kl < self.target / 1.5, 0.5, 1.0))


class Fixed(AbstractPenalty):
    """Always the same beta.

    Source: [Schulman17] section 6.1. Deviates: no.
    """

    beta: Real = real(1.0)
    target: Real = real(0.0)  # plays no part

    def moved(self, beta: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        return beta
