"""Fits an ensemble: one compiled loop of minibatch steps for all members."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.rows import Rows
from handful.data.scaling import Standardiser
from handful.devices import everywhere
from handful.errors import InputError
from handful.fields import Real, Whole, check_within, real, whole
from handful.models.base import AbstractLearner, FitReport, copies
from handful.models.ensemble import Ensemble, NetworkWorld
from handful.models.member_training import Examples, Trainees, nll, train_members
from handful.models.networks import GaussianNet
from handful.models.sharing import shared_out
from handful.task import Task


class Minibatches(eqx.Module):
    """Settings of the data that each member is trained on, and of the number of steps."""

    batch_size: int = eqx.field(static=True, default=64)
    epochs: Real = real(20.0)  # passes over the data per fit
    min_steps: Whole = whole(0)  # of a fit, whatever the epochs
    max_steps: Whole = whole(1_000_000)
    bootstrap: bool = eqx.field(static=True, default=True)  # N of N rows with replacement, drawn once per fit
    holdout: bool = eqx.field(
        static=True, default=True
    )  # the k-th trial after the first never trains member k mod m, and stops it early
    patience: Whole = whole(10)  # [blocks] without a better held-out NLL
    shuffled: bool = eqx.field(static=True, default=False)  # whole passes, each in a new order; else with replacement

    def __check_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {self.batch_size}")
        for name in ("epochs", "min_steps", "max_steps", "patience"):
            check_within(self, name, 0.0)


class Noise(eqx.Module):
    """Settings of the learned noise. Log-variances stay between soft bounds."""

    lower: float = eqx.field(static=True, default=-10.0)
    upper: float = eqx.field(static=True, default=0.5)
    learned: bool = eqx.field(static=True, default=True)  # whether the bounds are trained, or constant
    constant: bool = eqx.field(static=True, default=False)  # one variance per entry, independent of the input
    beta: Real = real(0.5)  # of the beta-NLL: power of the variance that weighs an example; 0 is plain likelihood
    shared: bool = eqx.field(static=True, default=False)  # one pair of bounds for all members, whose losses are summed

    def __check_init__(self) -> None:
        if not self.lower < self.upper:
            raise InputError(f"noise needs lower below upper, got lower={self.lower}, upper={self.upper}")
        check_within(self, "beta", 0.0)


class LearningRate(eqx.Module):
    """Adam's learning rate, falling along half a cosine over each fit."""

    initial: Real = real(3e-3)
    final: Real = real(3e-5)

    def __check_init__(self) -> None:
        for name in ("initial", "final"):
            check_within(self, name, 0.0)

    def __call__(self, progress: Float[Array, ""]) -> Float[Array, ""]:
        """The learning rate after the fraction `progress` of a fit."""
        return self.final + (self.initial - self.final) * (1 + jnp.cos(jnp.pi * progress)) / 2


class EnsembleState(eqx.Module):
    """The state from one fit to the next."""

    members: NetworkWorld  # leading axis m
    opt_state: Any  # leading axis m


class EnsembleLearner(AbstractLearner):
    """Maximum likelihood with Adam, each member on its own data.

    The loss of a member, over its batch (mean) and outputs (mean), with `v` the log-variance:
    `exp(beta v) ((y - mean)^2 exp(-v) + v)`, its first factor held constant under differentiation; plus
    `0.01 sum max(upper - lower, 0)` if bounds are learned, plus `sum_l weight_decay_l |W_l|^2 / 2`.

    With `noise.shared`, members have one pair of bounds: it follows the sum of their gradients, and the penalty of the
    bounds counts once. With `minibatches.shuffled`, a member meets each row of its sample once in every pass; batches
    are always full, so the last one of a pass goes on with the next pass.

    With plain likelihood, what was once attributed to noise gets little weight from then on; beta = 0.5 avoids that.

    Rows that are not finite are left out. A member whose weights become non-finite returns to its last finite ones and
    is not trained further in that fit.

    Source: [Chua18] section 4, appendix A; beta [Seitzer22]. Deviates: targets are standardised if `scale_targets`;
    held-out trials; the learning rate falls during a fit; each member has its own bounds unless `noise.shared`;
    minibatches are drawn with replacement unless `minibatches.shuffled`; no penalty on bounds once they are equal.
    """

    hidden: tuple[int, ...] = eqx.field(static=True)
    weight_decay: Float[Array, "layers"]
    learning_rate: LearningRate = eqx.field(default_factory=LearningRate)
    members: int = eqx.field(static=True, default=5)
    noise: Noise = eqx.field(default_factory=Noise)
    scale_targets: bool = eqx.field(static=True, default=True)
    minibatches: Minibatches = eqx.field(default_factory=Minibatches)
    mesh: Mesh | None = eqx.field(static=True, default=None)  # devices to share the members

    def __check_init__(self) -> None:
        if self.weight_decay.shape != (len(self.hidden) + 1,):
            raise InputError(
                f"{len(self.hidden)} hidden layers need {len(self.hidden) + 1} weight decays, "
                f"got shape {self.weight_decay.shape}"
            )
        if self.members < 1:
            raise InputError(f"an ensemble needs at least one member, got {self.members}")
        if self.noise.shared and self.minibatches.holdout:
            raise InputError(
                "members that share their noise bounds must stop together, and held-out trials stop them one by one: "
                "with Noise(shared=True) give Minibatches(holdout=False)"
            )

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
        return self.update(key, state, data)  # members are guarded one by one while they train

    def update(self, key: PRNGKeyArray, state: EnsembleState, data: Dataset) -> tuple[EnsembleState, FitReport]:
        trainees, examples, count = self._prepared(key, state, data)
        common = (self, examples, self._step_count(count), self.minibatches.patience)
        progress = shared_out(self.mesh, train_members, trainees, common, together=self.noise.shared)
        validation = jnp.where(trainees.has_held, progress.best_nll, jnp.nan)
        report = FitReport(progress.loss, validation, progress.steps.max(), progress.diverged)
        return EnsembleState(progress.best, progress.opt_state), report

    @property
    def batch_size(self) -> int:
        return self.minibatches.batch_size

    @property
    def shuffled(self) -> bool:
        return self.minibatches.shuffled

    def gradient(self, net: GaussianNet, batch: Examples) -> tuple[Float[Array, ""], GaussianNet]:
        """Loss and gradient of one member over its minibatch."""
        return jax.value_and_grad(self._loss)(net, batch)

    def joined(self, gradients: GaussianNet) -> GaussianNet:
        """The gradients of all members, with a leading axis m, once shared weights have the sum of theirs."""
        if not self.noise.shared:
            return gradients
        bounds = lambda net: (net.log_var_upper, net.log_var_lower)
        finite = lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, 0.0)  # a member that diverged leaves the others alone
        summed = [jnp.broadcast_to(finite(leaf).sum(0), leaf.shape) for leaf in bounds(gradients)]
        return eqx.tree_at(bounds, gradients, tuple(summed))

    def step(
        self, net: GaussianNet, opt_state: Any, gradient: GaussianNet, progress: Float[Array, ""]
    ) -> tuple[GaussianNet, Any]:
        """One step of Adam after the fraction `progress` of a fit."""
        direction, opt_state = self._optimiser().update(gradient, opt_state)  # pyright: ignore[reportArgumentType]
        rate = self.learning_rate(progress)
        return jax.tree.map(lambda weight, d: weight - rate * d, net, direction), opt_state

    def _prepared(
        self, key: PRNGKeyArray, state: EnsembleState, data: Dataset
    ) -> tuple[Trainees, Examples, Int[Array, ""]]:
        rows_key, held_key, batch_key = jax.random.split(key, 3)
        features = state.members.features
        rows = Rows.of(features, data)
        inputs, targets, valid = rows.inputs, rows.targets, rows.valid
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
            state.opt_state,
            *self._training_rows(rows_key, valid & ~held),
            *_held_rows(held_key, held),
        )
        return trainees, (input_scale(inputs), target_scale(targets)), valid.sum()

    def _optimiser(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()

    def _step_count(self, count: Int[Array, ""]) -> Int[Array, ""]:
        batches = self.minibatches
        steps = jnp.ceil(batches.epochs * count / batches.batch_size).astype(int)
        return jnp.where(count > 0, jnp.clip(steps, batches.min_steps, batches.max_steps), 0)

    def _loss(self, net: GaussianNet, batch: tuple) -> Float[Array, ""]:
        upper, lower = net.log_var_upper, net.log_var_lower
        if not self.noise.learned:
            net = eqx.tree_at(lambda n: (n.log_var_upper, n.log_var_lower), net, jax.lax.stop_gradient((upper, lower)))
        loss = nll(net, batch, self.noise.beta) + sum(
            d * jnp.sum(w**2) / 2 for d, w in zip(self.weight_decay, net.weights, strict=True)
        )
        if not self.noise.learned:
            return loss
        # No penalty once bounds are equal: past each other, they would move on until they overflow.
        penalty = 0.01 * jnp.sum(jnp.maximum(upper - lower, 0.0))
        return loss + (penalty / self.members if self.noise.shared else penalty)

    def _training_rows(
        self, key: PRNGKeyArray, selected: Bool[Array, "m capacity"]
    ) -> tuple[Int[Array, "m capacity"], Int[Array, "m"]]:
        """Each member's rows, with those that it trains on first, and the number of these."""

        def rows(key: PRNGKeyArray, selected: Bool[Array, "capacity"]) -> tuple[Int[Array, "capacity"], Int[Array, ""]]:
            order, count = _gathered(selected)
            if self.minibatches.bootstrap:
                order = order[jax.random.randint(key, order.shape, 0, jnp.maximum(count, 1))]
            return order, jnp.maximum(count, 1)

        return jax.vmap(rows)(jax.random.split(key, self.members), selected)

    def _held(self, trial: Int[Array, "capacity"], valid: Bool[Array, "capacity"]) -> Bool[Array, "m capacity"]:
        """The rows that each member never trains on; none if it would have no others."""
        if not self.minibatches.holdout or self.members == 1:
            return jnp.zeros((self.members, *valid.shape), bool)
        index = jnp.cumsum(trial != jnp.concatenate([trial[:1], trial[:-1]]))  # of the trial, counted from 0
        held = valid & (index >= 1) & (index % self.members == jnp.arange(self.members)[:, None])
        return held & jnp.any(valid & ~held, axis=1, keepdims=True)


_HELD_ROWS = 256


def _held_rows(key: PRNGKeyArray, held: Bool[Array, "m capacity"]) -> tuple[Int[Array, "m v"], Bool[Array, "m"]]:
    """A sample of each member's held-out rows, and whether it has any."""

    def rows(key: PRNGKeyArray, held: Bool[Array, "capacity"]) -> tuple[Int[Array, "v"], Bool[Array, ""]]:
        order, count = _gathered(held)
        return order[jax.random.randint(key, (_HELD_ROWS,), 0, jnp.maximum(count, 1))], count > 0

    return jax.vmap(rows)(jax.random.split(key, held.shape[0]), held)


def _gathered(selected: Bool[Array, "capacity"]) -> tuple[Int[Array, "capacity"], Int[Array, ""]]:
    """The indices of all rows with the selected ones first, and the number of these."""
    return jnp.argsort(~selected, stable=True), jnp.sum(selected)
