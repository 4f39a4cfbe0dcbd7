"""How members are trained on their rows: blocks of gradient steps, judged member by member on held-out rows."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from handful.models.ensemble import NetworkWorld
from handful.models.networks import GaussianNet
from handful.models.sharing import agreed, my_part

BLOCK = 50  # gradient steps between two looks at the held-out rows

Batch = tuple[Float[Array, "*b i"], Float[Array, "*b o"]]  # standardised inputs and targets


@runtime_checkable
class Recipe(Protocol):
    """What a learner decides of a gradient step, for one member."""

    @property
    def batch_size(self) -> int: ...

    def gradient(self, net: GaussianNet, batch: Batch) -> tuple[Float[Array, ""], GaussianNet]: ...

    def move(
        self, net: GaussianNet, optimiser: Any, gradient: GaussianNet, done: Float[Array, ""]
    ) -> tuple[GaussianNet, Any]: ...


class Trainees(eqx.Module):
    """What members start from, and which rows are their own. Every leaf has a leading axis m."""

    key: Key[Array, "m"]
    before: NetworkWorld  # as the last fit left them
    now: NetworkWorld  # the same weights, with the scales of today's data
    optimiser: Any
    rows: Int[Array, "m capacity"]  # those to train on come first
    row_count: Int[Array, "m"]  # and are this many
    held_rows: Int[Array, "m v"]
    has_held: Bool[Array, "m"]


class Progress(eqx.Module):
    """How far members have come. Every leaf has a leading axis m."""

    net: GaussianNet
    optimiser: Any
    loss: Float[Array, "m"]  # mean over the steps of the last block
    best: NetworkWorld  # to return: the best on held-out data, the last finite one where there are none
    best_nll: Float[Array, "m"]
    stale: Int[Array, "m"]  # [blocks] since the best
    steps: Int[Array, "m"]
    frozen: Bool[Array, "m"]
    diverged: Bool[Array, "m"]

    @classmethod
    def start(cls, before: NetworkWorld, optimiser: Any) -> "Progress":
        members = before.net.biases[0].shape[0]
        no, none = jnp.zeros(members, bool), jnp.zeros(members, int)
        return cls(
            net=before.net,
            optimiser=optimiser,
            loss=jnp.zeros(members),
            best=before,
            best_nll=jnp.full(members, jnp.inf),
            stale=none,
            steps=none,
            frozen=no,
            diverged=no,
        )

    def judged(
        self,
        fitted: NetworkWorld,
        optimiser: Any,
        loss: Float[Array, "m"],
        held_nll: Float[Array, "m"],
        *,
        has_held: Bool[Array, "m"],
        step: Int[Array, ""],
        patience: Int[Array, ""],
    ) -> "Progress":
        """After a block: keep what is better, freeze what is stale, drop what is not finite."""
        finite = _all_finite((fitted, optimiser)) & jnp.isfinite(loss) & (jnp.isfinite(held_nll) | ~has_held)
        active = finite & ~self.frozen
        better = active & (~has_held | (held_nll < self.best_nll))
        stale = jnp.where(better, 0, self.stale + 1)
        return Progress(
            _where(active, fitted.net, self.net),
            _where(active, optimiser, self.optimiser),
            jnp.where(active, loss, self.loss),
            _where(better, fitted, self.best),
            jnp.where(better & has_held, held_nll, self.best_nll),
            stale,
            jnp.where(self.frozen, self.steps, step),
            self.frozen | ~finite | (has_held & (stale >= patience)),
            self.diverged | (~finite & ~self.frozen),
        )


def train(
    trainees: Trainees,
    common: tuple[Recipe, Batch, Int[Array, ""], Int[Array, ""]],
    devices: int,
) -> Progress:
    """Train members on their rows of the examples, at most so many steps, with so many blocks of patience.

    `devices` work on the same members at once, each on its part of every minibatch.
    """
    recipe, examples, steps, patience = common

    def step(index: Int[Array, ""], inner: tuple) -> tuple:
        net, optimiser, total = inner
        picks = jax.vmap(lambda key, count: jax.random.randint(jax.random.fold_in(key, index), (size,), 0, count))(
            trainees.key, trainees.row_count
        )
        rows = my_part(jnp.take_along_axis(trainees.rows, picks, axis=1), devices)
        batch = jax.tree.map(lambda values: values[rows], examples)
        loss, gradient = agreed(jax.vmap(recipe.gradient)(net, batch), devices)
        net, optimiser = jax.vmap(recipe.move, (0, 0, 0, None))(net, optimiser, gradient, index / steps)
        return net, optimiser, total + loss

    def block(carry: tuple[Int[Array, ""], Progress]) -> tuple[Int[Array, ""], Progress]:
        first, progress = carry
        stop = jnp.minimum(first + BLOCK, steps)
        inner = (progress.net, progress.optimiser, jnp.zeros_like(progress.loss))
        net, optimiser, total = jax.lax.fori_loop(first, stop, step, inner)
        held_nll = jax.vmap(lambda n, r: nll(n, jax.tree.map(lambda v: v[r], examples)))(net, trainees.held_rows)
        fitted = eqx.tree_at(lambda world: world.net, trainees.now, net)
        return stop, progress.judged(
            fitted,
            optimiser,
            total / (stop - first),
            held_nll,
            has_held=trainees.has_held,
            step=stop,
            patience=patience,
        )

    size = recipe.batch_size
    devices = devices if size % devices == 0 else 1
    start = jnp.zeros((), int), Progress.start(trainees.before, trainees.optimiser)
    _, progress = jax.lax.while_loop(lambda carry: (carry[0] < steps) & jnp.any(~carry[1].frozen), block, start)
    return progress


def nll(net: GaussianNet, batch: Batch, beta: Float[Array, ""] | float = 0.0) -> Float[Array, ""]:
    """Twice the Gaussian negative log-likelihood less its constant, mean over batch and outputs."""
    inputs, targets = batch
    mean, var = jax.vmap(net)(inputs)
    weight = jax.lax.stop_gradient(var**beta)
    return jnp.mean(weight * ((mean - targets) ** 2 / var + jnp.log(var)))


def _all_finite(tree: Any) -> Bool[Array, "m"]:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).reshape(leaf.shape[0], -1).all(1) for leaf in leaves]).all(0)


def _where(choice: Bool[Array, "m"], new: Any, old: Any) -> Any:
    """Member by member: the new tree where `choice` holds, the old elsewhere."""
    pick = lambda n, o: jnp.where(jnp.expand_dims(choice, tuple(range(1, n.ndim))), n, o)  # noqa: E731
    return jax.tree.map(pick, new, old)
