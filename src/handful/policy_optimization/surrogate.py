"""What policy optimisation ascends: likelihood weighed by what came of it, and its surrogates for larger steps."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from handful.fields import Real, real
from handful.policy_optimization.penalty import AbstractPenalty, DualDescent


def weighted_likelihood(
    log_prob: Float[Array, "b"], weight: Float[Array, "b"], counted: Bool[Array, "b"]
) -> Float[Array, ""]:
    """The mean of `weight log pi(choice)` over what counts.

    With weights of one that is maximum likelihood; with what came after each step as its weight, its gradient is the
    policy gradient.
    """
    return jnp.sum(jnp.where(counted, weight * log_prob, 0.0)) / jnp.maximum(counted.sum(), 1)


class AbstractSurrogate(eqx.Module):
    """What one sample is worth under a policy that is no longer the one that drew it."""

    @abstractmethod
    def init(self) -> Any:
        """What it remembers from update to update."""

    @abstractmethod
    def __call__(
        self, state: Any, log_ratio: Float[Array, ""], advantage: Float[Array, ""], kl: Float[Array, ""]
    ) -> Float[Array, ""]:
        """`log_ratio`: of the choice's probabilities, new to old; `kl`: from the old distribution to the new."""

    @abstractmethod
    def after(self, state: Any, kl: Float[Array, ""]) -> Any:
        """The memory after an update that came to a mean KL divergence of `kl`."""


class Importance(AbstractSurrogate):
    """`ratio advantage`: at the old policy its gradient is the policy gradient."""

    def init(self) -> None:
        return None

    def __call__(
        self, state: None, log_ratio: Float[Array, ""], advantage: Float[Array, ""], kl: Float[Array, ""]
    ) -> Float[Array, ""]:
        return jnp.exp(log_ratio) * advantage

    def after(self, state: None, kl: Float[Array, ""]) -> None:
        return None


class Clipped(AbstractSurrogate):
    """`min(ratio advantage, clip(ratio, 1 - within, 1 + within) advantage)`: no gain for moving further.

    Source: [Schulman17] equation 7. Deviates: no.
    """

    within: Real = real(0.2)

    def init(self) -> None:
        return None

    def __call__(
        self, state: None, log_ratio: Float[Array, ""], advantage: Float[Array, ""], kl: Float[Array, ""]
    ) -> Float[Array, ""]:
        ratio = jnp.exp(log_ratio)
        return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - self.within, 1 + self.within) * advantage)

    def after(self, state: None, kl: Float[Array, ""]) -> None:
        return None


class Penalised(AbstractSurrogate):
    """`ratio advantage - beta (KL - target)`, where beta follows from how far the last updates went.

    Source: [Schulman17] section 4. Deviates: beta may also follow dual descent.
    """

    penalty: AbstractPenalty = eqx.field(default_factory=DualDescent)

    def init(self) -> Float[Array, ""]:
        return self.penalty.beta

    def __call__(
        self, state: Float[Array, ""], log_ratio: Float[Array, ""], advantage: Float[Array, ""], kl: Float[Array, ""]
    ) -> Float[Array, ""]:
        return jnp.exp(log_ratio) * advantage - state * (kl - self.penalty.target)

    def after(self, state: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        return self.penalty(state, kl)
