"""Nets that foretell a point: PETS's ablations D and DE."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.models.base import AbstractLearner, FitReport
from handful.models.ensemble import Ensemble, NetworkWorld
from handful.models.ensemble_learner import EnsembleLearner, EnsembleState, Noise
from handful.task import Task

BOUNDS = Noise(lower=-30.0, upper=20.0, learned=False, constant=True)  # of log-variances: wider than any residual
LEAST = 1e-12  # of a variance, in squared stds of the target


class PointLearner(AbstractLearner):
    """Trained by squared error; as sure of a point as it came near it in training.

    Made of an ensemble's learner, whose loss with constant noise and whole beta has the gradient of the squared
    error in the mean, whatever the noise. After a fit each member's noise is the mean square of its own residuals on
    all data, entry by entry: the variance that makes them most likely. That is for scores and forecasts; plans meet a
    point without noise where they are propagated by `EpistemicOnly`.

    Source: [Chua18] section 4, D and DE. Deviates: the paper gives points no likelihood; the ensemble's own deviations.
    """

    ensemble: EnsembleLearner

    @classmethod
    def of(cls, ensemble: EnsembleLearner) -> "PointLearner":
        """The same nets, rates and minibatches, without noise to learn."""
        return cls(dataclasses.replace(ensemble, noise=BOUNDS, rate=dataclasses.replace(ensemble.rate, beta=1.0)))

    @property
    def members(self) -> int:
        return self.ensemble.members

    def init(self, key: PRNGKeyArray, task: Task) -> EnsembleState:
        return self.ensemble.init(key, task)

    def fit(self, key: PRNGKeyArray, state: EnsembleState, data: Dataset) -> tuple[EnsembleState, FitReport]:
        fitted, report = self.ensemble.fit(key, state, data)
        squares = eqx.filter_vmap(lambda world: _mean_square(world, data))(fitted.members)
        last = lambda state: state.members.net.biases[-1]  # noqa: E731
        noisy = last(fitted).at[:, squares.shape[1] :].set(jnp.log(jnp.maximum(squares, LEAST)))
        kept = jnp.where(data.mask().any() & jnp.isfinite(noisy), noisy, last(fitted))
        return eqx.tree_at(last, fitted, kept), dataclasses.replace(report, loss=squares.mean(1))

    def model(self, state: EnsembleState) -> Ensemble:
        return self.ensemble.model(state)


def _mean_square(world: NetworkWorld, data: Dataset) -> Float[Array, "o"]:
    """Of a member's residuals, in stds of the target, over all rows that are finite."""
    rows = data.transitions
    told, _ = jax.vmap(world.target)(rows.obs, rows.action)
    wanted = jax.vmap(world.features.target)(rows.obs, rows.next_obs)
    error = (told - wanted) / world.target_scale.std
    counted = (data.mask() & jnp.isfinite(error).all(1))[:, None]
    return jnp.sum(jnp.where(counted, error, 0.0) ** 2, axis=0) / jnp.maximum(counted.sum(), 1)
