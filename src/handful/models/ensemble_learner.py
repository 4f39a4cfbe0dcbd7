"""How an ensemble is fitted: one compiled loop of minibatch steps, member by member."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.devices import everywhere
from handful.errors import InputError
from handful.fields import Real, Whole, real, whole
from handful.models.base import AbstractLearner, FitReport, copies
from handful.models.ensemble import Ensemble, NetworkWorld
from handful.models.member_training import Batch, Trainees, nll, train
from handful.models.networks import GaussianNet
from handful.models.sharing import shared_out
from handful.task import Task


class Minibatches(eqx.Module):
    """Which data a member sees, and for how long."""

    size: int = eqx.field(static=True, default=64)
    epochs: Real = real(20.0)  # passes over the data a fit
    least: Whole = whole(0)  # [steps] a fit takes at the least
    most: Whole = whole(1_000_000)  # [steps] at the most
    bootstrap: bool = eqx.field(static=True, default=True)  # N of N with replacement, drawn once a fit
    held_out: bool = eqx.field(
        static=True, default=True
    )  # the k-th trial after the first never trains member k mod m, and stops it early
    patience: Whole = whole(10)  # [blocks] without a better held-out NLL


class Noise(eqx.Module):
    """What a net may say of the noise: its log-variances stay between bounds, softly."""

    lower: float = eqx.field(static=True, default=-10.0)
    upper: float = eqx.field(static=True, default=0.5)
    learned: bool = eqx.field(static=True, default=True)  # whether the bounds move, or stay where they are
    constant: bool = eqx.field(static=True, default=False)  # one variance an entry, wherever the input is


class Rate(eqx.Module):
    """How fast weights move, and towards what."""

    first: Real = real(3e-3)  # Adam's learning rate at the start of a fit
    last: Real = real(3e-5)  # and at its end; half a cosine leads from one to the other
    beta: Real = real(0.5)  # power of the variance that weighs an example; 0 is plain likelihood

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
    `exp(beta v) ((y - mean)^2 exp(-v) + v)`, its first factor held constant under differentiation; plus
    `0.01 sum max(upper - lower, 0)` where bounds are learned, plus `sum_l decay_l |W_l|^2 / 2`.

    Plain likelihood neglects what it has once called noise; beta by half a power mends that.

    Rows with a number that is not finite are left out. A member whose weights turn non-finite falls back to its last
    good ones and sits out the rest of the fit.

    Source: [Chua18] section 4, appendix A; beta [Seitzer22]. Deviates: targets are standardised where
    `scale_targets`; held-out trials; the learning rate falls during a fit; bounds that have met pull no further.
    """

    hidden: tuple[int, ...] = eqx.field(static=True)
    decay: Float[Array, "layers"]
    rate: Rate = eqx.field(default_factory=Rate)
    members: int = eqx.field(static=True, default=5)
    noise: Noise = eqx.field(default_factory=Noise)
    scale_targets: bool = eqx.field(static=True, default=True)
    minibatches: Minibatches = eqx.field(default_factory=Minibatches)
    mesh: Mesh | None = eqx.field(static=True, default=None)  # devices that share the members

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
            net = GaussianNet.init(key, sizes, (self.noise.lower, self.noise.upper), constant_noise=self.noise.constant)
            input_scale, target_scale = (Standardiser.identity(size) for size in (features.input_size, task.obs_size))
            return NetworkWorld(net, input_scale, target_scale, features)

        members = eqx.filter_vmap(member)(jax.random.split(key, self.members))
        return everywhere(self.mesh, EnsembleState(members, jax.vmap(self._optimiser().init)(members.net)))

    def model(self, state: EnsembleState) -> Ensemble:
        return Ensemble(state.members)

    def fit(self, key: PRNGKeyArray, state: EnsembleState, data: Dataset) -> tuple[EnsembleState, FitReport]:
        trainees, examples, count = self._prepared(key, state, data)
        common = (self, examples, self._step_count(count), self.minibatches.patience)
        progress = shared_out(self.mesh, train, trainees, common)
        validation = jnp.where(trainees.has_held, progress.best_nll, jnp.nan)
        report = FitReport(progress.loss, validation, progress.steps.max(), progress.diverged)
        return EnsembleState(progress.best, progress.optimiser), report

    @property
    def batch_size(self) -> int:
        return self.minibatches.size

    def gradient(self, net: GaussianNet, batch: Batch) -> tuple[Float[Array, ""], GaussianNet]:
        """Loss and gradient of one member over its minibatch."""
        return jax.value_and_grad(self._loss)(net, batch)

    def move(
        self, net: GaussianNet, optimiser: Any, gradient: GaussianNet, done: Float[Array, ""]
    ) -> tuple[GaussianNet, Any]:
        """One step of Adam after the share `done` of a fit."""
        direction, optimiser = self._optimiser().update(gradient, optimiser)  # pyright: ignore[reportArgumentType]
        rate = self.rate(done)
        return jax.tree.map(lambda weight, d: weight - rate * d, net, direction), optimiser

    def _prepared(
        self, key: PRNGKeyArray, state: EnsembleState, data: Dataset
    ) -> tuple[Trainees, Batch, Int[Array, ""]]:
        rows_key, held_key, batch_key = jax.random.split(key, 3)
        features = state.members.features
        inputs = jax.vmap(features.inputs)(data.transitions.obs, data.transitions.action)
        targets = jax.vmap(features.target)(data.transitions.obs, data.transitions.next_obs)
        valid = data.mask() & jnp.isfinite(inputs).all(1) & jnp.isfinite(targets).all(1)
        inputs, targets = (jnp.where(valid[:, None], rows, 0.0) for rows in (inputs, targets))
        held = self._held(data.trial, valid)
        input_scale = Standardiser.fit(inputs, valid)
        target_scale = (
            Standardiser.fit(targets, valid) if self.scale_targets else Standardiser.identity(targets.shape[1])
        )
        input_scales, target_scales = (copies(scale, self.members) for scale in (input_scale, target_scale))
        trainees = Trainees(
            jax.random.split(batch_key, self.members),
            state.members,
            NetworkWorld(state.members.net, input_scales, target_scales, features),
            state.optimiser,
            *self._training_rows(rows_key, valid & ~held),
            *_held_rows(held_key, held),
        )
        return trainees, (input_scale(inputs), target_scale(targets)), valid.sum()

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def _step_count(self, count: Int[Array, ""]) -> Int[Array, ""]:
        batches = self.minibatches
        steps = jnp.ceil(batches.epochs * count / batches.size).astype(int)
        return jnp.where(count > 0, jnp.clip(steps, batches.least, batches.most), 0)

    def _loss(self, net: GaussianNet, batch: tuple) -> Float[Array, ""]:
        upper, lower = net.log_var_upper, net.log_var_lower
        if not self.noise.learned:
            net = eqx.tree_at(lambda n: (n.log_var_upper, n.log_var_lower), net, jax.lax.stop_gradient((upper, lower)))
        loss = nll(net, batch, self.rate.beta) + sum(
            d * jnp.sum(w**2) / 2 for d, w in zip(self.decay, net.weights, strict=True)
        )
        # Bounds that have met pull no further: past each other, nothing would hold them before they overflow.
        return loss + 0.01 * jnp.sum(jnp.maximum(upper - lower, 0.0)) if self.noise.learned else loss

    def _training_rows(
        self, key: PRNGKeyArray, wanted: Bool[Array, "m capacity"]
    ) -> tuple[Int[Array, "m capacity"], Int[Array, "m"]]:
        """Each member's own rows, those it trains on first, and how many these are."""

        def rows(key: PRNGKeyArray, wanted: Bool[Array, "capacity"]) -> tuple[Int[Array, "capacity"], Int[Array, ""]]:
            order, count = _gathered(wanted)
            if self.minibatches.bootstrap:
                order = order[jax.random.randint(key, order.shape, 0, jnp.maximum(count, 1))]
            return order, jnp.maximum(count, 1)

        return jax.vmap(rows)(jax.random.split(key, self.members), wanted)

    def _held(self, trial: Int[Array, "capacity"], valid: Bool[Array, "capacity"]) -> Bool[Array, "m capacity"]:
        """Which rows each member never trains on; none where it would have no others."""
        if not self.minibatches.held_out or self.members == 1:
            return jnp.zeros((self.members, *valid.shape), bool)
        place = jnp.cumsum(trial != jnp.concatenate([trial[:1], trial[:-1]]))  # of the trial among those there are
        held = valid & (place >= 1) & (place % self.members == jnp.arange(self.members)[:, None])
        return held & jnp.any(valid & ~held, axis=1, keepdims=True)


_HELD_ROWS = 256


def _held_rows(key: PRNGKeyArray, held: Bool[Array, "m capacity"]) -> tuple[Int[Array, "m v"], Bool[Array, "m"]]:
    """A sample of each member's held-out rows, and whether it has any."""

    def rows(key: PRNGKeyArray, held: Bool[Array, "capacity"]) -> tuple[Int[Array, "v"], Bool[Array, ""]]:
        order, count = _gathered(held)
        return order[jax.random.randint(key, (_HELD_ROWS,), 0, jnp.maximum(count, 1))], count > 0

    return jax.vmap(rows)(jax.random.split(key, held.shape[0]), held)


def _gathered(wanted: Bool[Array, "capacity"]) -> tuple[Int[Array, "capacity"], Int[Array, ""]]:
    """The indices of all rows, wanted ones first, and how many are wanted."""
    return jnp.argsort(~wanted, stable=True), jnp.sum(wanted)
