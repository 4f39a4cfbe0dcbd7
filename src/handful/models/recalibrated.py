"""A belief whose stds are scaled by one factor, so that they match its errors."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.fields import Real, check_within, real
from handful.models.base import AbstractDynamics, AbstractLearner, AbstractWorld, FitReport
from handful.task import Task
from handful.types import Prediction


class RecalibratedWorld(AbstractWorld):
    """A world w whose distance from the belief's mean b is scaled, `b + factor (w - b)`, and its process noise too."""

    belief: AbstractDynamics
    world: AbstractDynamics
    factor: Real

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        return _scaled(self.world.predict(obs, action), self.belief.predict(obs, action).mean, self.factor)


class Recalibrated(AbstractDynamics):
    """`belief` with every deviation from its mean times `factor`: both parts of the variance times its square.

    Each step of a world needs the belief's mean too, so with an ensemble of m members it costs m + 1 nets instead of
    one.

    >>> from handful import KnownDynamics
    >>> belief = Recalibrated(KnownDynamics(lambda obs, action: obs + action), 1.5)
    >>> belief.world_count
    1

    Source: [Levi22] on one step. Deviates: the factor is applied in every step of a rollout, and to each world as a
    whole.
    """

    belief: AbstractDynamics
    factor: Real = real(1.0)

    @property
    def world_count(self) -> int | None:
        return self.belief.world_count

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        prediction = self.belief.predict(obs, action)
        return _scaled(prediction, prediction.mean, self.factor)

    def worlds(self, key: PRNGKeyArray, count: int) -> RecalibratedWorld:
        around_mean = eqx.filter_vmap(RecalibratedWorld, in_axes=(None, eqx.if_array(0), None), axis_size=count)
        return around_mean(self.belief, self.belief.worlds(key, count), self.factor)


class RecalibratedLearner(AbstractLearner):
    """A learner whose beliefs are recalibrated by a known factor, such as `handful fit` finds."""

    learner: AbstractLearner
    factor: Real = real(1.0)

    def __check_init__(self) -> None:
        check_within(self, "factor", 0.0, finite=True, least_excluded=True)

    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        return self.learner.init(key, task)

    def update(self, key: PRNGKeyArray, state: Any, data: Dataset) -> tuple[Any, FitReport]:
        return self.learner.fit(key, state, data)

    def model(self, state: Any) -> Recalibrated:
        return Recalibrated(self.learner.model(state), self.factor)


def _scaled(prediction: Prediction, centre: Float[Array, "o"], factor: Float[Array, ""]) -> Prediction:
    return Prediction(
        centre + factor * (prediction.mean - centre), factor**2 * prediction.aleatoric, factor**2 * prediction.epistemic
    )
