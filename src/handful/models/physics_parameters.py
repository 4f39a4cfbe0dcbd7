"""Unknown physical parameters and their priors."""

import dataclasses
import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.errors import InputError


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One unknown number of a physics model.

    If `low >= 0` the prior is log-normal around the guess, and `prior_std` is the std of the logarithm (0.3: about
    30 % either way). Otherwise it is Gaussian around the guess, and `prior_std` has the units of the parameter. Finite
    limits squash either so that it stays between them.

    >>> Parameter("length", guess=0.7, low=0.0, prior_std=0.3)
    Parameter(name='length', guess=0.7, low=0.0, high=inf, prior_std=0.3)

    Raises `InputError` if these do not fit each other.
    """

    name: str
    guess: float
    low: float = -math.inf
    high: float = math.inf
    prior_std: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"the parameter {self.name!r} needs low below high, got low={self.low}, high={self.high}")
        if not self.low < self.guess < self.high:
            raise InputError(
                f"the guess of {self.name!r} must lie strictly between {self.low} and {self.high}, got {self.guess}"
            )
        if not (math.isfinite(self.guess) and 0 < self.prior_std < math.inf):
            raise InputError(
                f"the parameter {self.name!r} needs a finite guess and a finite prior_std above zero, "
                f"got guess={self.guess}, prior_std={self.prior_std}"
            )


class Parameters(eqx.Module):
    """Several parameters, and the free coordinates z in which they are fitted, with the prior `z ~ N(0, I)`.

    With u = log(value) if low >= 0 and u = value otherwise, g the guess in u, w the prior's width:

        no limit in u      u = g + w z
        one limit l        u = l ± w softplus(...)          both with u = g and du/dz = w at z = 0
        two limits l, h    u = l + (h - l) sigmoid(...)

    Guess, limits and width are leaves: changing them recompiles nothing.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    guess: Float[Array, "q"]
    low: Float[Array, "q"]
    high: Float[Array, "q"]
    width: Float[Array, "q"]  # the prior's std, in u

    @classmethod
    def of(cls, parameters: "Parameters | Sequence[Parameter]") -> "Parameters":
        """Raises `InputError` without any parameter, and for repeated names."""
        if isinstance(parameters, Parameters):
            return parameters
        names = tuple(parameter.name for parameter in parameters)
        if not names or len(set(names)) != len(names):
            raise InputError(f"physics needs at least one parameter, and distinct names, got {names}")
        column = lambda field: jnp.asarray([getattr(parameter, field) for parameter in parameters], float)
        return cls(names, column("guess"), column("low"), column("high"), column("prior_std"))

    def wrong(self, factor: float) -> "Parameters":
        """The same with guesses multiplied and divided by `factor` in turn, so that ratios are wrong too.

        Raises `InputError` if a guess leaves its limits.
        """
        columns = zip(self.names, *(map(float, x) for x in (self.guess, self.low, self.high, self.width)), strict=True)
        return Parameters.of(
            [
                Parameter(name, guess * factor if index % 2 == 0 else guess / factor, *rest)
                for index, (name, guess, *rest) in enumerate(columns)
            ]
        )

    def named(self, values: Float[Array, "q"]) -> dict[str, Float[Array, ""]]:
        """The values by name, as a physics function takes them."""
        return {name: values[index] for index, name in enumerate(self.names)}

    def values(self, z: Float[Array, "q"]) -> Float[Array, "q"]:
        """The parameters at free coordinates z, within their limits."""
        positive = self.low >= 0
        guess, low, high = (_logged(positive, value) for value in (self.guess, self.low, self.high))
        below, above = jnp.isfinite(low), jnp.isfinite(high)
        # Infinite limits are not used, but would make gradients NaN as 0 * inf.
        low, high = jnp.where(below, low, guess - 1), jnp.where(above, high, guess + 1)
        one_sided = _from_limit(z, guess, jnp.where(below, low, high), self.width)
        free = jnp.where(below | above, one_sided, guess + self.width * z)
        u = jnp.where(below & above, _between(z, guess, low, high, self.width), free)
        return jnp.clip(jnp.where(positive, jnp.exp(jnp.where(positive, u, 0.0)), u), self.low, self.high)

    def slopes(self, z: Float[Array, "q"]) -> Float[Array, "q"]:
        """The derivative of each value by its own coordinate."""
        return jax.jvp(self.values, (z,), (jnp.ones_like(z),))[1]


def _logged(positive: Array, value: Float[Array, "q"]) -> Float[Array, "q"]:
    """The logarithm where `positive`; minus infinity at zero, without a gradient."""
    above_zero = positive & (value > 0)
    logarithm = jnp.where(above_zero, jnp.log(jnp.where(above_zero, value, 1.0)), -jnp.inf)
    return jnp.where(positive, logarithm, value)


def _from_limit(
    z: Float[Array, "q"], guess: Float[Array, "q"], limit: Float[Array, "q"], width: Float[Array, "q"]
) -> Float[Array, "q"]:
    """Returns limit ± width softplus(y + ±z / sigmoid(y)), on the guess's side, with z = 0 at the guess."""
    side, gap = jnp.sign(guess - limit), jnp.abs(guess - limit) / width
    y = gap + jnp.log(-jnp.expm1(-gap))
    return limit + side * width * jax.nn.softplus(y + side * z / jax.nn.sigmoid(y))


def _between(
    z: Float[Array, "q"],
    guess: Float[Array, "q"],
    low: Float[Array, "q"],
    high: Float[Array, "q"],
    width: Float[Array, "q"],
) -> Float[Array, "q"]:
    """Returns low + (high - low) sigmoid(logit(p) + z width / ((high - low) p (1 - p))), p for the guess."""
    p = (guess - low) / (high - low)
    return low + (high - low) * jax.nn.sigmoid(jax.scipy.special.logit(p) + z * width / ((high - low) * p * (1 - p)))
