"""Risk measures: from the returns of all particles of a plan to one value."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.fields import Real, check_finite, check_within, real
from handful.models.base import root


class AbstractRisk(eqx.Module):
    """The value of a plan, given its return in each particle. It is never applied to single steps."""

    @abstractmethod
    def __call__(self, returns: Float[Array, "p"]) -> Float[Array, ""]: ...


class Mean(AbstractRisk):
    """The expected return."""

    def __call__(self, returns: Float[Array, "p"]) -> Float[Array, ""]:
        return returns.mean()


class MeanStd(AbstractRisk):
    """`mean + weight * std`: risk-averse for a negative weight, exploring for a positive one."""

    weight: Real = real(-1.0)

    def __check_init__(self) -> None:
        check_finite(self, "weight")

    def __call__(self, returns: Float[Array, "p"]) -> Float[Array, ""]:
        return returns.mean() + self.weight * root(returns.var())


class CVaR(AbstractRisk):
    """The mean of the worst `fraction` of particles, at least one.

    Source: [Rockafellar00]. Deviates: the number of particles in the tail is rounded up.
    """

    fraction: Real = real(0.25)

    def __check_init__(self) -> None:
        check_within(self, "fraction", 0.0, 1.0)

    def __call__(self, returns: Float[Array, "p"]) -> Float[Array, ""]:
        rank = jnp.arange(returns.shape[0])
        size = self.fraction * returns.shape[0] * (1 - 1e-6)  # so that 7/13 of 13 is 7 in spite of rounding
        tail = rank < jnp.maximum(jnp.ceil(size), 1)
        return jnp.sum(jnp.where(tail, jnp.sort(returns), 0.0)) / tail.sum()
