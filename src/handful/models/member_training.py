"""Trains members on their rows: blocks of gradient steps, each followed by an evaluation on held-out rows."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from handful.models.ensemble import NetworkWorld
from handful.models.finite import all_finite, where
from handful.models.networks import GaussianNet
from handful.models.sharing import agreed, my_part

BLOCK = 50  # gradient steps between two evaluations on the held-out rows

Examples = tuple[Float[Array, "*b i"], Float[Array, "*b o"]]  # standardised inputs and targets


@runtime_checkable
class Recipe(Protocol):
    """The parts of a gradient step that a learner defines, for one member; `joined` for all of them."""

    @property
    def batch_size(self) -> int: ...

    @property
    def shuffled(self) -> bool: ...

    def gradient(self, net: GaussianNet, batch: Examples) -> tuple[Float[Array, ""], GaussianNet]: ...

    def joined(self, gradients: GaussianNet) -> GaussianNet: ...

    def step(
        self, net: GaussianNet, opt_state: Any, gradient: GaussianNet, progress: Float[Array, ""]
    ) -> tuple[GaussianNet, Any]: ...


class Trainees(eqx.Module):
    """The start of training, and the rows of each member. Every leaf has a leading axis m."""

    key: Key[Array, "m"]
    before: NetworkWorld  # after the last fit
    rescaled: NetworkWorld  # the same weights, with the scales of the new data
    opt_state: Any
    rows: Int[Array, "m capacity"]  # rows to train on come first
    row_count: Int[Array, "m"]  # the number of these
    held_rows: Int[Array, "m v"]
    has_held: Bool[Array, "m"]


class Passes(eqx.Module):
    """The orders of two passes over each member's rows: the one that a batch begins in, and the next."""

    order: Int[Array, "m 2 capacity"]  # of the first `row_count`
    number: Int[Array, "m"]  # of the first of them
    key: Key[Array, "m"]
    row_count: Int[Array, "m"]

    @classmethod
    def of(cls, key: Key[Array, "m"], row_count: Int[Array, "m"], capacity: int, place: Int[Array, ""]) -> "Passes":
        """The passes at a place in the stream of rows."""
        number = place // row_count

        def order(key: Key[Array, ""], count: Int[Array, ""], number: Int[Array, ""]) -> Int[Array, "capacity"]:
            rank = jax.random.uniform(jax.random.fold_in(key, number), (capacity,))
            return jnp.argsort(jnp.where(jnp.arange(capacity) < count, rank, 2.0))

        both = jnp.stack([number, number + 1], axis=1)
        return cls(jax.vmap(jax.vmap(order, (None, None, 0)))(key, row_count, both), number, key, row_count)

    def at(self, place: Int[Array, ""]) -> "Passes":
        """The passes at another place: sorted again only where a pass ended."""
        ended = jnp.any(place // self.row_count != self.number)
        fresh = lambda: Passes.of(self.key, self.row_count, self.order.shape[2], place)
        return jax.lax.cond(ended, fresh, lambda: self)

    def picks(self, place: Int[Array, ""], size: int) -> Int[Array, "m b"]:
        """The next `size` rows of each member; a pass that ends is followed by the next."""
        places = place + jnp.arange(size)
        later = jnp.minimum(places // self.row_count[:, None] - self.number[:, None], 1)
        return jax.vmap(lambda order, later, within: order[later, within])(
            self.order, later, places % self.row_count[:, None]
        )


class Progress(eqx.Module):
    """The state of training. Every leaf has a leading axis m."""

    net: GaussianNet
    opt_state: Any
    loss: Float[Array, "m"]  # mean over the steps of the last block
    best: NetworkWorld  # to return: the best on held-out data, or the last finite one without such data
    best_nll: Float[Array, "m"]
    stale: Int[Array, "m"]  # [blocks] since the best
    steps: Int[Array, "m"]
    frozen: Bool[Array, "m"]
    diverged: Bool[Array, "m"]

    @classmethod
    def start(cls, before: NetworkWorld, opt_state: Any) -> "Progress":
        members = before.net.biases[0].shape[0]
        false, zero = jnp.zeros(members, bool), jnp.zeros(members, int)
        return cls(
            net=before.net,
            opt_state=opt_state,
            loss=jnp.zeros(members),
            best=before,
            best_nll=jnp.full(members, jnp.inf),
            stale=zero,
            steps=zero,
            frozen=false,
            diverged=false,
        )

    def after_block(
        self,
        fitted: NetworkWorld,
        opt_state: Any,
        loss: Float[Array, "m"],
        held_nll: Float[Array, "m"],
        *,
        has_held: Bool[Array, "m"],
        step: Int[Array, ""],
        patience: Int[Array, ""],
    ) -> "Progress":
        """Keeps members that improved, freezes those without improvement, and drops those that are not finite."""
        finite = all_finite((fitted, opt_state), leading=1) & jnp.isfinite(loss) & (jnp.isfinite(held_nll) | ~has_held)
        active = finite & ~self.frozen
        better = active & (~has_held | (held_nll < self.best_nll))
        stale = jnp.where(better, 0, self.stale + 1)
        return Progress(
            where(active, fitted.net, self.net),
            where(active, opt_state, self.opt_state),
            jnp.where(active, loss, self.loss),
            where(better, fitted, self.best),
            jnp.where(better & has_held, held_nll, self.best_nll),
            stale,
            jnp.where(self.frozen, self.steps, step),
            self.frozen | ~finite | (has_held & (stale >= patience)),
            self.diverged | (~finite & ~self.frozen),
        )


def train_members(
    trainees: Trainees,
    common: tuple[Recipe, Examples, Int[Array, ""], Int[Array, ""]],
    devices: int,
) -> Progress:
    """Trains members on their rows of the examples.

    `common` holds the recipe, all examples, the most steps to take and the patience [blocks]. `devices` work on the
    same members at once, each on its part of every minibatch.
    """
    recipe, examples, steps, patience = common

    def step(index: Int[Array, ""], inner: tuple) -> tuple:
        net, opt_state, total, passes = inner
        if passes is None:
            picks = jax.vmap(lambda key, count: jax.random.randint(jax.random.fold_in(key, index), (size,), 0, count))(
                trainees.key, trainees.row_count
            )
        else:
            passes = passes.at(index * size)
            picks = passes.picks(index * size, size)
        rows = my_part(jnp.take_along_axis(trainees.rows, picks, axis=1), devices)
        batch = jax.tree.map(lambda values: values[rows], examples)
        loss, gradient = agreed(jax.vmap(recipe.gradient)(net, batch), devices)
        gradient = recipe.joined(gradient)
        net, opt_state = jax.vmap(recipe.step, (0, 0, 0, None))(net, opt_state, gradient, index / steps)
        return net, opt_state, total + loss, passes

    def block(carry: tuple[Int[Array, ""], Progress]) -> tuple[Int[Array, ""], Progress]:
        first, progress = carry
        stop = jnp.minimum(first + BLOCK, steps)
        every = (trainees.key, trainees.row_count, trainees.rows.shape[1])
        passes = Passes.of(*every, first * size) if recipe.shuffled else None
        inner = (progress.net, progress.opt_state, jnp.zeros_like(progress.loss), passes)
        net, opt_state, total, _ = jax.lax.fori_loop(first, stop, step, inner)
        held_nll = jax.vmap(lambda n, r: nll(n, jax.tree.map(lambda v: v[r], examples)))(net, trainees.held_rows)
        fitted = eqx.tree_at(lambda world: world.net, trainees.rescaled, net)
        return stop, progress.after_block(
            fitted,
            opt_state,
            total / (stop - first),
            held_nll,
            has_held=trainees.has_held,
            step=stop,
            patience=patience,
        )

    size = recipe.batch_size
    devices = devices if size % devices == 0 else 1
    start = jnp.zeros((), int), Progress.start(trainees.before, trainees.opt_state)
    _, progress = jax.lax.while_loop(lambda carry: (carry[0] < steps) & jnp.any(~carry[1].frozen), block, start)
    return progress


def nll(net: GaussianNet, batch: Examples, beta: Float[Array, ""] | float = 0.0) -> Float[Array, ""]:
    """Twice the Gaussian negative log-likelihood less its constant, mean over batch and outputs."""
    inputs, targets = batch
    mean, var = jax.vmap(net)(inputs)
    weight = jax.lax.stop_gradient(var**beta)
    return jnp.mean(weight * ((mean - targets) ** 2 / var + jnp.log(var)))
