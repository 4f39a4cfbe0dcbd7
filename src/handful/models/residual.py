"""A learned correction of a base model, which fades to zero away from the data."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.rows import finite_rows
from handful.errors import InputError
from handful.fields import Real, check_within, real
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport, copies
from handful.models.finite import where
from handful.models.trust import Trust
from handful.task import Task
from handful.types import Prediction

NEGLIGIBLE_TRUST = 1e-6  # below it a correction is not added at all: far from data it may not even be finite


class Residual(AbstractDynamics):
    """`next_obs = base + trust correction`. A world is one world of the base with one of the correction.

        mean       base + w correction
        aleatoric  (1 - w) base + w correction: what the correction explains is noise to the base
        epistemic  base + w^2 correction, the variance over such pairs of worlds

    With w the trust, 1 on the data; as it falls to 0 all three become those of the base.
    """

    base: AbstractDynamics
    correction: AbstractDynamics  # predicts `obs + error of the base` for next_obs
    trust: Trust
    features: Features

    @property
    def world_count(self) -> int | None:
        counts = self.base.world_count, self.correction.world_count
        return None if None in counts else math.lcm(*(count for count in counts if count is not None))

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        base, correction = self.base.predict(obs, action), self.correction.predict(obs, action)
        w = self.trust(self.features.inputs(obs, action))
        error = self.features.target(obs, correction.mean)

        def weighted(weight: Float[Array, ""], value: Float[Array, "o"]) -> Float[Array, "o"]:
            return weight * jnp.where(w > NEGLIGIBLE_TRUST, value, 0.0)

        return Prediction(
            base.mean + weighted(w, error),
            (1 - w) * base.aleatoric + weighted(w, correction.aleatoric),
            base.epistemic + weighted(w**2, correction.epistemic),
        )

    def worlds(self, key: PRNGKeyArray, count: int) -> "Residual":
        base_key, correction_key, pair_key = jax.random.split(key, 3)
        trust = copies(self.trust, count)
        pairs = self.world_count
        if pairs is None:
            base, correction = self.base.worlds(base_key, count), self.correction.worlds(correction_key, count)
        else:  # the i-th pair is the i-th member of each, modulo their numbers
            rounds = -(-count // pairs)
            last = jnp.arange(pairs) if count == pairs else jax.random.permutation(pair_key, pairs)
            order = jnp.concatenate([jnp.tile(jnp.arange(pairs), rounds - 1), last])[:count]
            base, correction = _picked(self.base, base_key, order), _picked(self.correction, correction_key, order)
        return Residual(base, correction, trust, self.features)


def _picked(belief: AbstractDynamics, key: PRNGKeyArray, order: Int[Array, "worlds"]) -> AbstractDynamics:
    """Members of a belief with finitely many worlds, by their index modulo how many there are."""
    members = belief.world_count or 1
    worlds, index = belief.worlds(key, members), order % members
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, worlds)


class ResidualState(eqx.Module):
    """The states of both learners, and the trust in the second."""

    base: Any
    correction: Any
    trust: Trust
    features: Features


class ResidualLearner(AbstractLearner):
    """Fits the base; then fits the correction to the errors of the base, with any learner.

    The correction learns from the same rows with `next_obs = obs + (next_obs - base mean)`; for a memoryless entry,
    with the error alone. Rows where that is not finite are left out. If the fit of the correction fails, the trust in
    it stays as it was.

    >>> from handful import GPLearner, PointMass, physics_of
    >>> learner = ResidualLearner(physics_of(PointMass(), guess_error=1.3), GPLearner())
    >>> type(learner.base).__name__
    'PhysicsLearner'
    """

    base: AbstractLearner
    correction: AbstractLearner
    reach: Real = real(1.0)  # [spacings of the data] beyond which trust falls
    anchors: int = eqx.field(static=True, default=64)  # rows that represent the data

    def __check_init__(self) -> None:
        if self.anchors < 2:
            raise InputError(f"a residual needs at least 2 anchors, got {self.anchors}")
        check_within(self, "reach", 0.0, finite=True, least_excluded=True)

    def init(self, key: PRNGKeyArray, task: Task) -> ResidualState:
        base_key, correction_key = jax.random.split(key)
        features = Features.of(task)
        return ResidualState(
            self.base.init(base_key, task),
            self.correction.init(correction_key, task),
            Trust.zero(features.input_size, self.anchors),
            features,
        )

    def model(self, state: ResidualState) -> Residual:
        return Residual(
            self.base.model(state.base), self.correction.model(state.correction), state.trust, state.features
        )

    def update(self, key: PRNGKeyArray, state: ResidualState, data: Dataset) -> tuple[ResidualState, FitReport]:
        base_key, correction_key = jax.random.split(key)
        base, base_report = self.base.fit(base_key, state.base, data)
        errors = _errors(self.base.model(base), state.features, data)
        correction, report = self.correction.fit(correction_key, state.correction, errors)
        inputs = jax.vmap(state.features.inputs)(errors.transitions.obs, errors.transitions.action)
        trust = Trust.fit(inputs, errors.mask(), anchors=self.anchors, reach=self.reach)
        # A correction whose fit failed is the one from before, and so must be the trust in it.
        trust = where(report.diverged.any(), state.trust, trust)
        diverged = report.diverged | base_report.diverged.any()
        report = eqx.tree_at(lambda report: report.diverged, report, diverged)
        return ResidualState(base, correction, trust, state.features), report


def _errors(base: AbstractDynamics, features: Features, data: Dataset) -> Dataset:
    """The rows where the error of the base is finite, with that error in place of the change."""
    rows = data.transitions
    means = jax.vmap(lambda obs, action: base.predict(obs, action).mean)(rows.obs, rows.action)
    wrapped = Features(features.obs_size, features.action_size, features.angles, ())
    errors = jax.vmap(wrapped.target)(means, rows.next_obs)
    valid = data.mask() & finite_rows(rows.obs, rows.action, errors)
    rows = eqx.tree_at(lambda rows: rows.next_obs, rows, jax.vmap(features.next_obs)(rows.obs, errors))
    order, count = jnp.argsort(~valid, stable=True), valid.sum()
    kept = jnp.arange(data.capacity) < count

    def gathered(leaf: Array) -> Array:
        return jnp.where(jnp.expand_dims(kept, tuple(range(1, leaf.ndim))), leaf[order], jnp.zeros((), leaf.dtype))

    return Dataset(jax.tree.map(gathered, rows), jnp.where(kept, data.trial[order], -1), count)
