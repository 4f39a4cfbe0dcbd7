"""Risk: from the returns of a plan's particles to one number."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.fields import Real, real
from handful.propagation.distribution_sampling import root


class AbstractRisk(eqx.Module):
    """What a plan is worth, given what it returned in each particle. It never sees single steps."""

    @abstractmethod
    def __call__(self, returns: Float[Array, "p"]) -> Float[Array, ""]: ...


class Mean(AbstractRisk):
    """The expected return."""

    def __call__(self, returns: Float[Array, "p"]) -> Float[Array, ""]:
        return returns.mean()


class MeanStd(AbstractRisk):
    """`mean + weight * std`: cautious where the weight is negative, curious where it is positive."""

    weight: Real = real(-1.0)

    def __call__(self, returns: Float[Array, "p"]) -> Float[Array, ""]:
        return returns.mean() + self.weight * root(returns.var())


class CVaR(AbstractRisk):
    """The mean of the worst `fraction` of particles, at least one.

    Source: [Rockafellar00]. Deviates: the number of particles in the tail is rounded up.
    """

    fraction: Real = real(0.25)

    def __call__(self, returns: Float[Array, "p"]) -> Float[Array, ""]:
        rank = jnp.arange(returns.shape[0])
        size = self.fraction * returns.shape[0] * (1 - 1e-6)  # 7/13 of 13 is 7, whatever float32 makes of it
        tail = rank < jnp.maximum(jnp.ceil(size), 1)
        return jnp.sum(jnp.where(tail, jnp.sort(returns), 0.0)) / tail.sum()
