"""Running mean and variance, from batch to batch."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


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

    def seeing(self, rows: Float[Array, "b *d"], counted: Bool[Array, "b"] | None = None) -> "Moments":
        """With these rows too, or those of them that are counted."""
        count = jnp.ones(rows.shape[0], bool) if counted is None else counted
        where = count.reshape(-1, *[1] * (rows.ndim - 1))
        more = count.sum()
        total, least = self.count + more, jnp.maximum(more, 1)
        mean = jnp.sum(rows, 0, where=where) / least
        apart, var = mean - self.mean, jnp.sum((rows - mean) ** 2, 0, where=where) / least
        spread = self.var * self.count + var * more + apart**2 * self.count * more / jnp.maximum(total, 1)
        seen = Moments(total, self.mean + apart * more / jnp.maximum(total, 1), spread / jnp.maximum(total, 1))
        return jax.tree.map(lambda new, old: jnp.where(more > 0, new, old), seen, self)
