"""Hyperparameters by maximum a posteriori: marginal likelihood, priors, and the search for the optimum."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, Whole, check_within, real, whole
from handful.linalg import inverse_cholesky, inverse_of
from handful.models.finite import where
from handful.models.gp.kernels import AbstractKernel, Covariance

# The class of a kernel: from the logarithms of lengthscales and std to the kernel.
MakeKernel = Callable[[Float[Array, "i"], Float[Array, ""]], AbstractKernel]

MaskedRows = tuple[Float[Array, "n i"], Float[Array, "n o"], Float[Array, "n"]]  # inputs, targets, mask


@jax.custom_vjp
def neg_log_marginal_likelihood(matrix: Float[Array, "n n"], targets: Float[Array, "n"]) -> Float[Array, ""]:
    """`(y^T K^-1 y + log |K|) / 2`: the negative log density of the targets, without its constant.

    Its gradient by K is `(K^-1 - a a^T) / 2` with `a = K^-1 y`, in closed form: differentiating through the
    factorisation would cost several times as much.

    Source: [Rasmussen06] equations 5.8 and 5.9. Deviates: no.
    """
    return _neg_log_marginal_likelihood(matrix, targets)[0]


def _neg_log_marginal_likelihood(
    matrix: Float[Array, "n n"], targets: Float[Array, "n"]
) -> tuple[Float[Array, ""], tuple]:
    factor = inverse_cholesky(matrix)
    whitened = jnp.matmul(factor, targets, precision="highest")
    value = 0.5 * jnp.sum(whitened**2) - jnp.sum(jnp.log(jnp.diagonal(factor)))
    return value, (factor, jnp.matmul(whitened, factor, precision="highest"))


def _gradient(kept: tuple, scale: Float[Array, ""]) -> tuple[Float[Array, "n n"], Float[Array, "n"]]:
    factor, weights = kept
    return 0.5 * scale * (inverse_of(factor) - weights[:, None] * weights), scale * weights


neg_log_marginal_likelihood.defvjp(_neg_log_marginal_likelihood, _gradient)


class LogNormal(eqx.Module):
    """The log-normal distribution."""

    median: Real = real(1.0)
    spread: Real = real(1.0)  # std of the logarithm

    def neg_log_prob(self, logarithm: Float[Array, "*b"]) -> Float[Array, ""]:
        """The negative log-density of the logarithms, without its constant."""
        return 0.5 * jnp.sum(((logarithm - jnp.log(self.median)) / self.spread) ** 2)


class Priors(eqx.Module):
    """Priors on the hyperparameters, for standardised inputs and targets.

    The prior on the ratio of noise to signal keeps it away from zero, where the matrix becomes singular, and from one,
    where nothing is learned.
    """

    lengthscales: LogNormal = eqx.field(default_factory=lambda: LogNormal(3.0, 1.0))
    signal: LogNormal = eqx.field(default_factory=lambda: LogNormal(1.0, 1.0))
    ratio: LogNormal = eqx.field(default_factory=lambda: LogNormal(0.1, 1.5))  # noise std / signal std

    def neg_log_prob(self, covariance: Covariance) -> Float[Array, ""]:
        kernel = covariance.kernel
        return (
            self.lengthscales.neg_log_prob(kernel.log_lengthscales)
            + self.signal.neg_log_prob(kernel.log_std)
            + self.ratio.neg_log_prob(covariance.log_noise - kernel.log_std)
        )

    def medians(self, kernel: MakeKernel, inputs: int) -> Covariance:
        """The covariance with all hyperparameters at their medians."""
        signal = jnp.log(self.signal.median)
        lengthscales = jnp.broadcast_to(jnp.log(self.lengthscales.median), (inputs,))
        return Covariance(kernel(lengthscales, signal), signal + jnp.log(self.ratio.median))

    def draw(self, key: PRNGKeyArray, like: Covariance) -> Covariance:
        """A covariance drawn from the priors, with the kernel and sizes of another."""
        length_key, signal_key, ratio_key = jax.random.split(key, 3)

        def drawn(key: PRNGKeyArray, prior: LogNormal, held: Float[Array, "*s"]) -> Float[Array, "*s"]:
            return jnp.log(prior.median) + prior.spread * jax.random.normal(key, held.shape, held.dtype)

        signal = drawn(signal_key, self.signal, like.kernel.log_std)
        lengthscales = drawn(length_key, self.lengthscales, like.kernel.log_lengthscales)
        noise = signal + drawn(ratio_key, self.ratio, like.log_noise)
        parts = lambda c: (c.kernel.log_lengthscales, c.kernel.log_std, c.log_noise)
        return eqx.tree_at(parts, like, (lengthscales, signal, noise))


def objective(
    priors: Priors,
    covariance: Covariance,
    inputs: Float[Array, "n i"],
    targets: Float[Array, "n"],
    mask: Float[Array, "n"],
) -> Float[Array, ""]:
    """Objective of one output: negative log marginal likelihood plus negative log density of the priors [nats]."""
    return neg_log_marginal_likelihood(covariance.matrix(inputs, mask), targets * mask) + priors.neg_log_prob(
        covariance
    )


class Search(eqx.Module):
    """Adam from several starts; for each output the best finite point on the way is kept.

    The starts are the result of the last fit, the medians of the priors, and draws from the priors. They descend on the
    first `scout_rows` rows only, which is cheap. Their results are then compared on all rows, together with the result
    of the last fit, and the best descends further on all rows.
    """

    steps: Whole = whole(100)  # of each descent
    learning_rate: Real = real(0.15)  # of Adam at the start; falls along half a cosine to a hundredth
    starts: int = eqx.field(static=True, default=4)
    scout_rows: int = eqx.field(static=True, default=100)

    def __check_init__(self) -> None:
        if self.starts < 1 or self.scout_rows < 1:
            raise InputError(
                f"a search needs at least one start and one row for its scouts, got starts={self.starts} and "
                f"scout_rows={self.scout_rows}"
            )
        for name in ("steps", "learning_rate"):
            check_within(self, name, 0.0)

    def __call__(
        self,
        key: PRNGKeyArray,
        priors: Priors,
        last: Covariance,
        rows: MaskedRows,
        steps: Int[Array, ""],
    ) -> tuple[Covariance, Float[Array, "o"]]:
        """The best covariance of each output and its objective [nats], infinite if no start was finite.

        `last` has a leading axis o. The first rows should be representative of all.
        """
        few = jax.tree.map(lambda values: values[: self.scout_rows], rows)
        starts = self._starts(key, priors, last)
        ends = jax.vmap(lambda start: self.descend(priors, start, few, steps)[0])(starts)
        options = jax.tree.map(lambda end, old: jnp.concatenate([end, old[None]]), ends, last)
        costs = jax.vmap(lambda option: _costs(priors, option, rows))(options)
        best = jnp.argmin(jnp.where(jnp.isfinite(costs), costs, jnp.inf), axis=0)
        pick = jax.vmap(lambda each, index: each[index], in_axes=(1, 0))
        return self.descend(priors, jax.tree.map(lambda leaf: pick(leaf, best), options), rows, steps)

    def descend(
        self, priors: Priors, start: Covariance, rows: MaskedRows, steps: Int[Array, ""]
    ) -> tuple[Covariance, Float[Array, "o"]]:
        """Adam for each output from its own start; the best points, and their objectives."""
        adam = optax.scale_by_adam()

        def total(here: Covariance) -> tuple[Float[Array, ""], Float[Array, "o"]]:
            costs = _costs(priors, here, rows)
            return jnp.sum(costs), costs

        def step(index: Int[Array, ""], carry: tuple) -> tuple:
            here, moments, best, least = carry
            (_, costs), gradient = jax.value_and_grad(total, has_aux=True)(here)
            better = jnp.isfinite(costs) & (costs < least)
            best = where(better, here, best)
            direction, moments = adam.update(gradient, moments)
            rate = self.learning_rate * (0.505 + 0.495 * jnp.cos(jnp.pi * index / steps))
            here = jax.tree.map(lambda leaf, move: leaf - (rate * move).astype(leaf.dtype), here, direction)
            return here, moments, best, jnp.where(better, costs, least)

        moments = adam.init(start)  # pyright: ignore[reportArgumentType]
        worst = jnp.full_like(start.log_noise, jnp.inf)
        return jax.lax.fori_loop(0, steps, step, (start, moments, start, worst))[2:]

    def _starts(self, key: PRNGKeyArray, priors: Priors, last: Covariance) -> Covariance:
        """Leading axes starts and o: the result of the last fit, the medians, and draws."""
        medians = priors.medians(type(last.kernel), last.kernel.log_lengthscales.shape[1])
        drawn = jax.vmap(lambda key: priors.draw(key, last))(jax.random.split(key, self.starts))

        def first_ones(last: Array, median: Array, drawn: Array) -> Array:
            median = jnp.broadcast_to(median, last.shape).astype(last.dtype)
            return jnp.concatenate([last[None], median[None], drawn])[: self.starts]

        medians = jax.tree.map(lambda median: median[None], medians)
        return jax.tree.map(first_ones, last, medians, drawn)


def _costs(priors: Priors, covariance: Covariance, rows: MaskedRows) -> Float[Array, "o"]:
    inputs, targets, mask = rows
    return jax.vmap(lambda c, y: objective(priors, c, inputs, y, mask))(covariance, targets.T)
