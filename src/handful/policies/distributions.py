"""Distributions over raw actions, with likelihood, entropy, KL divergence and Fisher information."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class AbstractDistribution(eqx.Module):
    """A distribution over raw actions; its leaves are its parameters. Probabilities are joint over the entries."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray) -> Float[Array, "c"]:
        """A raw action."""

    @abstractmethod
    def mode(self) -> Float[Array, "c"]:
        """The most likely raw action."""

    @abstractmethod
    def log_prob(self, raw_action: Float[Array, "c"]) -> Float[Array, ""]:
        """The log density, or log probability [nats], of a raw action."""

    @abstractmethod
    def entropy(self) -> Float[Array, ""]:
        """The entropy [nats]; for a density, the differential entropy."""

    @abstractmethod
    def kl(self, other: Any) -> Float[Array, ""]:
        """KL(self || other) [nats]."""

    @abstractmethod
    def fisher(self, tangent: Any) -> Any:
        """The Fisher information matrix of the parameters times `tangent`, a change of them.

        It is the second derivative of the KL divergence at zero change.
        """


class Gaussian(AbstractDistribution):
    """A normal distribution with independent entries.

    >>> bool(Gaussian(jnp.zeros(2), jnp.zeros(2)).kl(Gaussian(jnp.ones(2), jnp.zeros(2))) == 1.0)
    True
    """

    mean: Float[Array, "c"]
    log_std: Float[Array, "c"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "c"]:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def mode(self) -> Float[Array, "c"]:
        return self.mean

    def log_prob(self, raw_action: Float[Array, "c"]) -> Float[Array, ""]:
        z = (raw_action - self.mean) * jnp.exp(-self.log_std)
        return -jnp.sum(0.5 * z**2 + self.log_std + 0.5 * jnp.log(2 * jnp.pi))

    def entropy(self) -> Float[Array, ""]:
        return jnp.sum(self.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e))

    def kl(self, other: "Gaussian") -> Float[Array, ""]:
        var_ratio = jnp.exp(2 * (self.log_std - other.log_std))
        z = (self.mean - other.mean) * jnp.exp(-other.log_std)
        return jnp.sum(other.log_std - self.log_std + 0.5 * (var_ratio + z**2 - 1))

    def fisher(self, tangent: "Gaussian") -> "Gaussian":
        return Gaussian(tangent.mean * jnp.exp(-2 * self.log_std), 2 * tangent.log_std)


class Categorical(AbstractDistribution):
    """One of several categories, as a one-hot vector.

    >>> Categorical(jnp.array([0.0, 9.0, 1.0])).mode()
    Array([0., 1., 0.], dtype=float32)
    """

    logits: Float[Array, "c"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "c"]:
        return self._one_hot(jax.random.categorical(key, self.logits))

    def mode(self) -> Float[Array, "c"]:
        return self._one_hot(jnp.argmax(self.logits))

    def log_prob(self, raw_action: Float[Array, "c"]) -> Float[Array, ""]:
        return jnp.sum(raw_action * jax.nn.log_softmax(self.logits))

    def entropy(self) -> Float[Array, ""]:
        return -jnp.sum(jax.nn.softmax(self.logits) * jax.nn.log_softmax(self.logits))

    def kl(self, other: "Categorical") -> Float[Array, ""]:
        log_ratio = jax.nn.log_softmax(self.logits) - jax.nn.log_softmax(other.logits)
        return jnp.sum(jax.nn.softmax(self.logits) * log_ratio)

    def fisher(self, tangent: "Categorical") -> "Categorical":
        p = jax.nn.softmax(self.logits)
        return Categorical(p * (tangent.logits - p @ tangent.logits))

    def _one_hot(self, index: Array) -> Float[Array, "c"]:
        return jax.nn.one_hot(index, self.logits.shape[0], dtype=self.logits.dtype)
