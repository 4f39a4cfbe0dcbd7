"""Objectives of policy optimisation: the weighted likelihood, and surrogates for larger steps."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from handful.fields import Real, check_within, real
from handful.policy_optimization.penalty import AbstractPenalty, DualDescent


def weighted_likelihood(
    log_prob: Float[Array, "b"], weight: Float[Array, "b"], valid: Bool[Array, "b"]
) -> Float[Array, ""]:
    """The mean of `weight log pi(raw action)` over valid rows.

    With weights of one it is the log-likelihood; with rewards to go or advantages as weights, its gradient is the
    policy gradient.
    """
    return jnp.sum(jnp.where(valid, weight * log_prob, 0.0)) / jnp.maximum(valid.sum(), 1)


class AbstractSurrogate(eqx.Module):
    """The objective of one sample, under a policy that differs from the one that collected it."""

    @abstractmethod
    def init(self) -> Any:
        """The state before the first update; None if there is none."""

    @abstractmethod
    def __call__(
        self, state: Any, log_ratio: Float[Array, ""], advantage: Float[Array, ""], kl: Float[Array, ""]
    ) -> Float[Array, ""]:
        """The objective. `log_ratio`: log of new over old probability; `kl`: KL(old || new) [nats]."""

    @abstractmethod
    def after(self, state: Any, kl: Float[Array, ""]) -> Any:
        """The state after an update whose mean KL divergence was `kl`."""


class Importance(AbstractSurrogate):
    """`ratio advantage`; at the old policy its gradient is the policy gradient."""

    def init(self) -> None:
        return None

    def __call__(
        self, state: None, log_ratio: Float[Array, ""], advantage: Float[Array, ""], kl: Float[Array, ""]
    ) -> Float[Array, ""]:
        return jnp.exp(log_ratio) * advantage

    def after(self, state: None, kl: Float[Array, ""]) -> None:
        return None


class Clipped(AbstractSurrogate):
    """`min(ratio advantage, clip(ratio, 1 - clip_eps, 1 + clip_eps) advantage)`.

    Source: [Schulman17] equation 7. Deviates: no.
    """

    clip_eps: Real = real(0.2)

    def __check_init__(self) -> None:
        check_within(self, "clip_eps", 0.0, least_excluded=True)

    def init(self) -> None:
        return None

    def __call__(
        self, state: None, log_ratio: Float[Array, ""], advantage: Float[Array, ""], kl: Float[Array, ""]
    ) -> Float[Array, ""]:
        ratio = jnp.exp(log_ratio)
        return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - self.clip_eps, 1 + self.clip_eps) * advantage)

    def after(self, state: None, kl: Float[Array, ""]) -> None:
        return None


class Penalised(AbstractSurrogate):
    """`ratio advantage - beta (KL - target)`; `penalty` adapts beta to the KL divergence of past updates.

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
