"""The search for the most probable hyperparameters: many scouts on few rows, then one descent on all rows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, Whole, real, whole
from handful.models.gp.covariance import Covariance
from handful.models.gp.marginal_likelihood import Priors, objective

Rows = tuple[Float[Array, "n i"], Float[Array, "n o"], Float[Array, "n"]]  # inputs, targets, mask


class Search(eqx.Module):
    """Adam from several starts; the best finite point that any output met on the way is kept for it.

    The starts are where the last fit ended, the priors' medians, and draws from the priors. They descend on the first
    `scout_rows` rows only, which costs little; all of their ends are then compared on all rows, together with where
    the last fit ended, and the best descends further on all rows.
    """

    steps: Whole = whole(100)  # of each descent
    rate: Real = real(0.15)  # Adam's learning rate at the start; half a cosine leads down to a hundredth
    starts: int = eqx.field(static=True, default=4)
    scout_rows: int = eqx.field(static=True, default=100)

    def __check_init__(self) -> None:
        if self.starts < 1 or self.scout_rows < 1:
            raise InputError(
                f"a search needs at least one start and one row for its scouts, got starts={self.starts} and "
                f"scout_rows={self.scout_rows}"
            )

    def __call__(
        self,
        key: PRNGKeyArray,
        priors: Priors,
        last: Covariance,
        rows: Rows,
        steps: Int[Array, ""],
    ) -> tuple[Covariance, Float[Array, "o"]]:
        """The best covariance of each output and what it costs [nats]; infinite where no start was finite.

        `last` has a leading axis o. The first rows should speak for all.
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
        self, priors: Priors, start: Covariance, rows: Rows, steps: Int[Array, ""]
    ) -> tuple[Covariance, Float[Array, "o"]]:
        """Adam for each output from a start of its own; the best points met, and what they cost."""
        adam = optax.scale_by_adam()

        def total(here: Covariance) -> tuple[Float[Array, ""], Float[Array, "o"]]:
            costs = _costs(priors, here, rows)
            return jnp.sum(costs), costs

        def step(index: Int[Array, ""], carry: tuple) -> tuple:
            here, moments, best, least = carry
            (_, costs), gradient = jax.value_and_grad(total, has_aux=True)(here)
            better = jnp.isfinite(costs) & (costs < least)
            best = jax.tree.map(lambda new, old: _where(better, new, old), here, best)
            direction, moments = adam.update(gradient, moments)
            rate = self.rate * (0.505 + 0.495 * jnp.cos(jnp.pi * index / steps))
            here = jax.tree.map(lambda leaf, move: leaf - (rate * move).astype(leaf.dtype), here, direction)
            return here, moments, best, jnp.where(better, costs, least)

        moments = adam.init(start)  # pyright: ignore[reportArgumentType]
        worst = jnp.full_like(start.log_noise, jnp.inf)
        return jax.lax.fori_loop(0, steps, step, (start, moments, start, worst))[2:]

    def _starts(self, key: PRNGKeyArray, priors: Priors, last: Covariance) -> Covariance:
        """Leading axes starts and o: where the last fit ended, the medians, and draws."""
        medians = priors.medians(type(last.kernel), last.kernel.log_lengthscales.shape[1])
        drawn = jax.vmap(lambda key: priors.draw(key, last))(jax.random.split(key, self.starts))

        def first_ones(last: Array, median: Array, drawn: Array) -> Array:
            median = jnp.broadcast_to(median, last.shape).astype(last.dtype)
            return jnp.concatenate([last[None], median[None], drawn])[: self.starts]

        medians = jax.tree.map(lambda median: median[None], medians)
        return jax.tree.map(first_ones, last, medians, drawn)


def _costs(priors: Priors, covariance: Covariance, rows: Rows) -> Float[Array, "o"]:
    inputs, targets, mask = rows
    return jax.vmap(lambda c, y: objective(priors, c, inputs, y, mask))(covariance, targets.T)


def _where(choice: Bool[Array, "o"], new: Array, old: Array) -> Array:
    return jnp.where(jnp.expand_dims(choice, tuple(range(1, new.ndim))), new, old)
