"""Running mean and variance over batches."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Moments(eqx.Module):
    """Mean and biased variance of all rows so far; without any, those of the standard normal distribution.

    >>> moments = Moments.of(()).update(jnp.array([1.0, 3.0])).update(jnp.array([5.0]))
    >>> float(moments.mean), round(float(moments.var), 4)
    (3.0, 2.6667)

    Source: [Chan83]. Deviates: no.
    """

    count: Float[Array, ""]
    mean: Float[Array, "*d"]
    var: Float[Array, "*d"]

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> "Moments":
        """Moments without any row; rows have this shape."""
        return cls(jnp.zeros(()), jnp.zeros(shape), jnp.ones(shape))

    def update(self, rows: Float[Array, "b *d"], counted: Bool[Array, "b"] | None = None) -> "Moments":
        """The moments with more rows, or those of them that are counted."""
        counted = jnp.ones(rows.shape[0], bool) if counted is None else counted
        where = counted.reshape(-1, *[1] * (rows.ndim - 1))
        more = counted.sum()
        total, divisor = self.count + more, jnp.maximum(more, 1)
        mean = jnp.sum(rows, 0, where=where) / divisor
        difference, var = mean - self.mean, jnp.sum((rows - mean) ** 2, 0, where=where) / divisor
        spread = self.var * self.count + var * more + difference**2 * self.count * more / jnp.maximum(total, 1)
        new = Moments(total, self.mean + difference * more / jnp.maximum(total, 1), spread / jnp.maximum(total, 1))
        return jax.tree.map(lambda new, old: jnp.where(more > 0, new, old), new, self)
