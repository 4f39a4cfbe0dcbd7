"""How an ensemble is fitted: one compiled loop of minibatch steps, member by member."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.errors import InputError
from handful.fields import Real, Whole, real, whole
from handful.models.base import AbstractLearner, FitReport
from handful.models.ensemble import Ensemble, NetworkWorld
from handful.models.networks import GaussianNet
from handful.task import Task

BLOCK = 50  # gradient steps between two looks at the held-out trials


class Minibatches(eqx.Module):
    """Which data a member sees, and for how long."""

    size: int = eqx.field(static=True, default=64)
    epochs: Real = real(20.0)  # passes over the data a fit
    least: Whole = whole(0)  # [steps] a fit takes at the least
    most: Whole = whole(1_000_000)  # [steps] at the most
    bootstrap: bool = eqx.field(static=True, default=True)  # N of N with replacement, drawn once a fit
    held_out: bool = eqx.field(
        static=True, default=True
    )  # trial t >= 1 never trains member t mod m, and stops it early
    patience: Whole = whole(10)  # [blocks] without a better held-out NLL


class Rate(eqx.Module):
    """How fast weights move, and towards what."""

    first: Real = real(3e-3)  # Adam's learning rate at the start of a fit
    last: Real = real(3e-5)  # and at its end; half a cosine leads from one to the other
    tempering: Real = real(0.5)  # power of the variance that weighs an example; 0 is plain likelihood

    def __call__(self, done: Float[Array, ""]) -> Float[Array, ""]:
        """The learning rate after the share `done` of a fit."""
        return self.last + (self.first - self.last) * (1 + jnp.cos(jnp.pi * done)) / 2


class EnsembleState(eqx.Module):
    """Everything that goes on from one fit to the next."""

    members: NetworkWorld  # leading axis m
    optimiser: Any  # leading axis m


class EnsembleLearner(AbstractLearner):
    """Maximum likelihood with Adam, each member on its own data.

    The loss of a member, over its batch (mean) and outputs (mean), with `v` the log-variance:
    `exp(tempering v) ((y - mean)^2 exp(-v) + v)`, its first factor held constant under differentiation; plus
    `0.01 (sum upper - sum lower)` where bounds are learned, plus `sum_l decay_l |W_l|^2 / 2`.

    Plain likelihood neglects what it has once called noise; tempering by half a power mends that.

    A member whose weights turn non-finite falls back to its last good ones and sits out the rest of the fit.

    Source: [Chua18] section 4, appendix A; tempering [Seitzer22]. Deviates: targets are standardised where
    `scale_targets`; held-out trials; the learning rate falls during a fit.
    """

    hidden: tuple[int, ...] = eqx.field(static=True)
    decay: Float[Array, "layers"]
    rate: Rate = eqx.field(default_factory=Rate)
    members: int = eqx.field(static=True, default=5)
    log_var_bounds: tuple[float, float] = eqx.field(static=True, default=(-10.0, 0.5))
    learn_bounds: bool = eqx.field(static=True, default=True)
    scale_targets: bool = eqx.field(static=True, default=True)
    minibatches: Minibatches = eqx.field(default_factory=Minibatches)

    def __check_init__(self) -> None:
        if self.decay.shape != (len(self.hidden) + 1,):
            raise InputError(
                f"{len(self.hidden)} hidden layers need {len(self.hidden) + 1} weight decays, "
                f"got shape {self.decay.shape}"
            )
        if self.members < 1:
            raise InputError(f"an ensemble needs at least one member, got {self.members}")

    def init(self, key: PRNGKeyArray, task: Task) -> EnsembleState:
        features = Features.of(task)
        sizes = (features.input_size, *self.hidden, task.obs_size)

        def member(key: PRNGKeyArray) -> NetworkWorld:
            net = GaussianNet.init(key, sizes, self.log_var_bounds)
            input_scale, target_scale = (Standardiser.identity(size) for size in (features.input_size, task.obs_size))
            return NetworkWorld(net, input_scale, target_scale, features)

        members = eqx.filter_vmap(member)(jax.random.split(key, self.members))
        return EnsembleState(members, jax.vmap(self._optimiser().init)(members.net))

    def model(self, state: EnsembleState) -> Ensemble:
        return Ensemble(state.members)

    def fit(self, key: PRNGKeyArray, state: EnsembleState, data: Dataset) -> tuple[EnsembleState, FitReport]:
        rows_key, held_key, batch_key = jax.random.split(key, 3)
        features, mask = state.members.features, data.mask()
        inputs = jax.vmap(features.inputs)(data.transitions.obs, data.transitions.action)
        targets = jax.vmap(features.target)(data.transitions.obs, data.transitions.next_obs)
        input_scale = Standardiser.fit(inputs, mask)
        target_scale = (
            Standardiser.fit(targets, mask) if self.scale_targets else Standardiser.identity(targets.shape[1])
        )
        examples = (input_scale(inputs), target_scale(targets))

        stacked = lambda scale: jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (self.members, *leaf.shape)), scale)  # noqa: E731
        scales = stacked(input_scale), stacked(target_scale)

        rows, row_counts = self._training_rows(rows_key, data)
        held_rows, has_held = self._held_rows(held_key, data)
        steps = self._step_count(data.count)

        def block(carry: _Progress) -> _Progress:
            def step(index: Int[Array, ""], inner: tuple) -> tuple:
                net, optimiser, _ = inner
                picks = jax.random.randint(
                    jax.random.fold_in(batch_key, index), (self.members, self.minibatches.size), 0, row_counts[:, None]
                )
                batch = jax.tree.map(lambda values: values[jnp.take_along_axis(rows, picks, axis=1)], examples)
                return jax.vmap(self._update, (0, 0, 0, None))(net, optimiser, batch, self.rate(index / steps))

            stop = jnp.minimum(carry.step + BLOCK, steps)
            start = (carry.net, carry.optimiser, carry.loss)
            net, optimiser, loss = jax.lax.fori_loop(carry.step, stop, step, start)
            held_nll = jax.vmap(lambda n, r: _nll(n, jax.tree.map(lambda v: v[r], examples)))(net, held_rows)
            fitted = NetworkWorld(net, *scales, features)
            patience = self.minibatches.patience
            return carry.judged(fitted, optimiser, loss, held_nll, has_held=has_held, step=stop, patience=patience)

        progress = _Progress.start(state, self.members)
        progress = jax.lax.while_loop(lambda p: (p.step < steps) & jnp.any(~p.frozen), block, progress)
        report = FitReport(
            progress.loss, jnp.where(has_held, progress.best_nll, jnp.nan), progress.step, progress.diverged
        )
        return EnsembleState(progress.best, progress.optimiser), report

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def _step_count(self, count: Int[Array, ""]) -> Int[Array, ""]:
        batches = self.minibatches
        steps = jnp.ceil(batches.epochs * count / batches.size).astype(int)
        return jnp.where(count > 0, jnp.clip(steps, batches.least, batches.most), 0)

    def _update(
        self, net: GaussianNet, optimiser: Any, batch: tuple, rate: Float[Array, ""]
    ) -> tuple[GaussianNet, Any, Float[Array, ""]]:
        loss, gradient = jax.value_and_grad(self._loss)(net, batch)
        direction, optimiser = self._optimiser().update(gradient, optimiser)
        return jax.tree.map(lambda weight, d: weight - rate * d, net, direction), optimiser, loss

    def _loss(self, net: GaussianNet, batch: tuple) -> Float[Array, ""]:
        upper, lower = net.log_var_upper, net.log_var_lower
        if not self.learn_bounds:
            net = eqx.tree_at(lambda n: (n.log_var_upper, n.log_var_lower), net, jax.lax.stop_gradient((upper, lower)))
        loss = _nll(net, batch, self.rate.tempering) + sum(
            d * jnp.sum(w**2) / 2 for d, w in zip(self.decay, net.weights, strict=True)
        )
        return loss + 0.01 * (jnp.sum(upper) - jnp.sum(lower)) if self.learn_bounds else loss

    def _training_rows(self, key: PRNGKeyArray, data: Dataset) -> tuple[Int[Array, "m capacity"], Int[Array, "m"]]:
        """Each member's own rows, those it trains on first, and how many these are."""

        def rows(key: PRNGKeyArray, held: Bool[Array, "capacity"]) -> tuple[Int[Array, "capacity"], Int[Array, ""]]:
            order, count = _gathered(data.mask() & ~held)
            if self.minibatches.bootstrap:
                order = order[jax.random.randint(key, order.shape, 0, jnp.maximum(count, 1))]
            return order, jnp.maximum(count, 1)

        return jax.vmap(rows)(jax.random.split(key, self.members), self._held(data))

    def _held_rows(self, key: PRNGKeyArray, data: Dataset) -> tuple[Int[Array, "m v"], Bool[Array, "m"]]:
        """A sample of each member's held-out rows, and whether it has any."""

        def rows(key: PRNGKeyArray, held: Bool[Array, "capacity"]) -> tuple[Int[Array, "v"], Bool[Array, ""]]:
            order, count = _gathered(held)
            return order[jax.random.randint(key, (_HELD_ROWS,), 0, jnp.maximum(count, 1))], count > 0

        return jax.vmap(rows)(jax.random.split(key, self.members), self._held(data))

    def _held(self, data: Dataset) -> Bool[Array, "m capacity"]:
        if not self.minibatches.held_out:
            return jnp.zeros((self.members, data.capacity), bool)
        member = jnp.arange(self.members)[:, None]
        return (data.trial >= 1) & (data.trial % self.members == member) & (self.members > 1)


_HELD_ROWS = 256


class _Progress(eqx.Module):
    """The loop's carry. Everything but `step` has a leading axis m."""

    step: Int[Array, ""]
    net: GaussianNet
    optimiser: Any
    loss: Float[Array, "m"]
    best: NetworkWorld  # to return: the best on held-out data, the last finite one where there are none
    best_nll: Float[Array, "m"]
    stale: Int[Array, "m"]  # [blocks] since the best
    frozen: Bool[Array, "m"]
    diverged: Bool[Array, "m"]

    @classmethod
    def start(cls, state: EnsembleState, members: int) -> "_Progress":
        net, no = state.members.net, jnp.zeros(members, bool)
        infinite = jnp.full(members, jnp.inf)
        return cls(
            step=jnp.zeros((), int),
            net=net,
            optimiser=state.optimiser,
            loss=jnp.zeros(members),
            best=state.members,
            best_nll=infinite,
            stale=jnp.zeros(members, int),
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
    ) -> "_Progress":
        """After a block: keep what is better, freeze what is stale, drop what is not finite."""
        finite = _all_finite((fitted, optimiser)) & jnp.isfinite(loss) & (jnp.isfinite(held_nll) | ~has_held)
        active = finite & ~self.frozen
        better = active & (~has_held | (held_nll < self.best_nll))
        stale = jnp.where(better, 0, self.stale + 1)
        return _Progress(
            step,
            _where(active, fitted.net, self.net),
            _where(active, optimiser, self.optimiser),
            jnp.where(active, loss, self.loss),
            _where(better, fitted, self.best),
            jnp.where(better & has_held, held_nll, self.best_nll),
            stale,
            self.frozen | ~finite | (has_held & (stale >= patience)),
            self.diverged | (~finite & ~self.frozen),
        )


def _nll(
    net: GaussianNet, batch: tuple[Float[Array, "b i"], Float[Array, "b o"]], tempering: Float[Array, ""] | float = 0.0
) -> Float[Array, ""]:
    """Twice the Gaussian negative log-likelihood less its constant, mean over batch and outputs."""
    inputs, targets = batch
    mean, var = jax.vmap(net)(inputs)
    weight = jax.lax.stop_gradient(var**tempering)
    return jnp.mean(weight * ((mean - targets) ** 2 / var + jnp.log(var)))


def _gathered(wanted: Bool[Array, "capacity"]) -> tuple[Int[Array, "capacity"], Int[Array, ""]]:
    """The indices of all rows, wanted ones first, and how many are wanted."""
    return jnp.argsort(~wanted, stable=True), jnp.sum(wanted)


def _all_finite(tree: Any) -> Bool[Array, "m"]:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(leaf).reshape(leaf.shape[0], -1).all(1) for leaf in leaves]).all(0)


def _where(choice: Bool[Array, "m"], new: Any, old: Any) -> Any:
    """Member by member: the new tree where `choice` holds, the old elsewhere."""
    pick = lambda n, o: jnp.where(jnp.expand_dims(choice, tuple(range(1, n.ndim))), n, o)  # noqa: E731
    return jax.tree.map(pick, new, old)
