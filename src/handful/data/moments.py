"""Running mean and variance, from batch to batch."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Moments(eqx.Module):
    """Mean and biased variance of all rows seen so far; without any, of the standard normal distribution.

    >>> seen = Moments.of(()).seeing(jnp.array([1.0, 3.0])).seeing(jnp.array([5.0]))
    >>> float(seen.mean), round(float(seen.var), 4)
    (3.0, 2.6667)

    Source: [Chan83]. Deviates: no.
    """

    count: Float[Array, ""]
    mean: Float[Array, "*d"]
    var: Float[Array, "*d"]

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> "Moments":
        """Before any row of this shape."""
        return cls(jnp.zeros(()), jnp.zeros(shape), jnp.ones(shape))

    def seeing(self, rows: Float[Array, "b *d"]) -> "Moments":
        """With these rows too."""
        more = rows.shape[0]
        total, apart = self.count + more, rows.mean(0) - self.mean
        spread = self.var * self.count + rows.var(0) * more + apart**2 * self.count * more / total
        return Moments(total, self.mean + apart * more / total, spread / total)
