"""Nets that predict a point: the ablations D and DE of PETS."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.rows import Rows, finite_rows
from handful.models.base import AbstractLearner, FitReport
from handful.models.ensemble import Ensemble, NetworkWorld
from handful.models.ensemble_learner import EnsembleLearner, EnsembleState, Noise
from handful.task import Task

LEAST_VARIANCE = 1e-12  # in squared stds of the target


class PointLearner(AbstractLearner):
    """An ensemble's learner that minimises the squared error; the noise is the variance of the residuals.

    With constant noise and beta 1, the beta-NLL has the gradient of the squared error in the mean, whatever the noise.
    After a fit the noise of each member is the mean square of its own residuals on all data, entry by entry, which is
    the most likely variance. It is used in scores and forecasts; with the propagator `EpistemicOnly`, plans are
    rolled out without noise.

    Source: [Chua18] section 4, D and DE. Deviates: the paper assigns points no likelihood; the deviations of the
    ensemble.
    """

    ensemble: EnsembleLearner

    @classmethod
    def of(cls, ensemble: EnsembleLearner) -> "PointLearner":
        """The same nets, learning rates and minibatches, without a learned noise."""
        # Bounds of log-variances that are wider than any residual.
        constant = Noise(lower=-30.0, upper=20.0, learned=False, constant=True, beta=1.0)
        return cls(dataclasses.replace(ensemble, noise=constant))

    @property
    def members(self) -> int:
        return self.ensemble.members

    def init(self, key: PRNGKeyArray, task: Task) -> EnsembleState:
        return self.ensemble.init(key, task)

    def update(self, key: PRNGKeyArray, state: EnsembleState, data: Dataset) -> tuple[EnsembleState, FitReport]:
        fitted, report = self.ensemble.fit(key, state, data)
        squares = eqx.filter_vmap(lambda world: _mean_square(world, data))(fitted.members)
        last = lambda state: state.members.net.biases[-1]
        noisy = last(fitted).at[:, squares.shape[1] :].set(jnp.log(jnp.maximum(squares, LEAST_VARIANCE)))
        kept = jnp.where(data.mask().any() & jnp.isfinite(noisy), noisy, last(fitted))
        return eqx.tree_at(last, fitted, kept), dataclasses.replace(report, loss=squares.mean(1))

    def model(self, state: EnsembleState) -> Ensemble:
        return self.ensemble.model(state)


def _mean_square(world: NetworkWorld, data: Dataset) -> Float[Array, "o"]:
    """Mean square of a member's residuals, in stds of the target, over all rows that are finite."""
    rows = Rows.of(world.features, data)
    mean, _ = jax.vmap(world.target)(data.transitions.obs, data.transitions.action)
    error = (mean - rows.targets) / world.target_scale.std
    counted = (rows.valid & finite_rows(error))[:, None]
    return jnp.sum(jnp.where(counted, error, 0.0) ** 2, axis=0) / jnp.maximum(counted.sum(), 1)
