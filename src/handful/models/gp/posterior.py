"""The exact posterior of one Gaussian process for each output."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from handful.linalg import inverse_cholesky
from handful.models.gp.kernels import Covariance


class Posterior(eqx.Module):
    """Independent Gaussian processes on shared inputs, in arrays of fixed capacity: one more row recompiles nothing.

    With `K` the covariance of the targets `y` of an output, `k` that of the rows with a query, `W = L^-1`, `L L^T = K`:

        mean = k^T K^-1 y        variance = std^2 - |W k|^2

    `W` is cached instead of `L`: a triangular solve becomes a product, many queries become one matrix product, and one
    more row of data is one more row of `W`. Rows whose mask is zero are padding.

    Source: [Rasmussen06] algorithm 2.1. Deviates: W in place of L; the weights take one step of iterative refinement.
    """

    covariance: Covariance  # every leaf has a leading axis o
    inputs: Float[Array, "capacity i"]
    mask: Float[Array, "capacity"]  # one on rows that hold data
    inverse_cholesky: Float[Array, "o capacity capacity"]  # W
    weights: Float[Array, "o capacity"]  # K^-1 y

    @classmethod
    def empty(cls, covariance: Covariance, capacity: int) -> "Posterior":
        """The prior, without data."""
        outputs, inputs = covariance.kernel.log_lengthscales.shape
        dtype = covariance.log_noise.dtype
        empty = (jnp.zeros((capacity, inputs), dtype), jnp.zeros(capacity, dtype))
        unit = jnp.broadcast_to(jnp.eye(capacity, dtype=dtype), (outputs, capacity, capacity))
        return cls(covariance, *empty, unit, jnp.zeros((outputs, capacity), dtype))

    @classmethod
    def given(
        cls,
        covariance: Covariance,
        inputs: Float[Array, "capacity i"],
        targets: Float[Array, "capacity o"],
        mask: Float[Array, "capacity"],
    ) -> "Posterior":
        """The posterior given the rows whose mask is one; O(N^3)."""
        inputs, targets = (jnp.where(mask[:, None] > 0, values, 0.0) for values in (inputs, targets))
        matrices = jax.vmap(lambda c: c.matrix(inputs, mask))(covariance)
        bare = cls(covariance, inputs, mask, jax.vmap(inverse_cholesky)(matrices), jnp.zeros_like(targets.T))
        return eqx.tree_at(lambda posterior: posterior.weights, bare, bare.solve(targets.T))

    @property
    def capacity(self) -> int:
        return self.mask.shape[0]

    @property
    def count(self) -> Int[Array, ""]:
        return jnp.sum(self.mask > 0)

    @property
    def noise_variance(self) -> Float[Array, "o"]:
        return jax.vmap(lambda c: c.noise_variance)(self.covariance)

    def finite(self) -> Bool[Array, "o"]:
        """True where factor and weights are finite: a failed factorisation returns NaN."""
        return jnp.isfinite(self.inverse_cholesky).all((1, 2)) & jnp.isfinite(self.weights).all(1)

    def mean(self, query: Float[Array, "i"]) -> Float[Array, "o"]:
        """The mean without the variance; O(N)."""
        return jnp.sum(self._cross_covariance(query) * self.weights, axis=1)

    def mean_and_variance(self, query: Float[Array, "i"]) -> tuple[Float[Array, "o"], Float[Array, "o"]]:
        """Mean and variance of the function, without noise; O(N^2)."""
        cross = self._cross_covariance(query)
        explained = jnp.sum(_times(self.inverse_cholesky, cross) ** 2, axis=1)
        variance = jnp.maximum(jax.vmap(lambda c: c.kernel.variance)(self.covariance) - explained, 0.0)
        return jnp.sum(cross * self.weights, axis=1), variance

    def solve(self, values: Float[Array, "o capacity"]) -> Float[Array, "o capacity"]:
        """`K^-1 values` with one step of iterative refinement, which float32 needs if the noise is low."""

        def inverse_times(values: Float[Array, "o capacity"]) -> Float[Array, "o capacity"]:
            return _times(jnp.swapaxes(self.inverse_cholesky, 1, 2), _times(self.inverse_cholesky, values))

        first = inverse_times(values)
        matrices = jax.vmap(lambda c: c.matrix(self.inputs, self.mask))(self.covariance)
        return first + inverse_times(values - _times(matrices, first))

    def append(self, query: Float[Array, "i"], target: Float[Array, "o"]) -> "Posterior":
        """The posterior given one more row; O(N^2). Rows that are not finite or exceed the capacity are ignored.

        With `l = W k` and `d^2` the variance of the new target, the new row of W is `(-l^T W, 1) / d`, and the weights
        move along it by the error of the mean in units of d.
        """
        accepted = jnp.isfinite(query).all() & jnp.isfinite(target).all() & (self.count < self.capacity)
        slot = jnp.arange(self.capacity) == jnp.minimum(self.count, self.capacity - 1)
        query, target = jnp.where(accepted, query, 0.0), jnp.where(accepted, target, 0.0)
        cross = self._cross_covariance(query)
        mean, variance = self.mean_and_variance(query)
        d = jnp.sqrt(variance + jax.vmap(lambda c: c.diagonal)(self.covariance))[:, None]
        explained = _times(jnp.swapaxes(self.inverse_cholesky, 1, 2), _times(self.inverse_cholesky, cross))
        row = (slot - explained) / d
        slot = slot & accepted
        return Posterior(
            self.covariance,
            jnp.where(slot[:, None], query, self.inputs),
            jnp.where(slot, 1.0, self.mask),
            jnp.where(slot[:, None], row[:, None, :], self.inverse_cholesky),
            jnp.where(accepted, self.weights + (target[:, None] - mean[:, None]) / d * row, self.weights),
        )

    def append_all(self, queries: Float[Array, "b i"], targets: Float[Array, "b o"]) -> "Posterior":
        """The posterior given several more rows, one after the other."""

        def append(posterior: Posterior, row: tuple) -> tuple[Posterior, None]:
            return posterior.append(*row), None

        return jax.lax.scan(append, self, (queries, targets))[0]

    def grown(self, capacity: int) -> "Posterior":
        """The same posterior with a larger capacity."""
        held, extra = self.capacity, capacity - self.capacity
        bare = Posterior.empty(self.covariance, capacity)
        return Posterior(
            self.covariance,
            jnp.pad(self.inputs, ((0, extra), (0, 0))),
            jnp.pad(self.mask, (0, extra)),
            bare.inverse_cholesky.at[:, :held, :held].set(self.inverse_cholesky),
            jnp.pad(self.weights, ((0, 0), (0, extra))),
        )

    def _cross_covariance(self, query: Float[Array, "i"]) -> Float[Array, "o capacity"]:
        return jax.vmap(lambda c: c.kernel(query[None], self.inputs)[0])(self.covariance) * self.mask


def _times(matrices: Float[Array, "o c d"], vectors: Float[Array, "o d"]) -> Float[Array, "o c"]:
    return jnp.einsum("ocd,od->oc", matrices, vectors, precision="highest")
