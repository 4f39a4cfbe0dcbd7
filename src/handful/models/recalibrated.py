"""A belief whose doubt is stretched or shrunk by one factor, so that it is as sure as it has been right."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.fields import Real, real
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport, copies
from handful.task import Task
from handful.types import Prediction


class RecalibratedWorld(AbstractDynamics):
    """A world moved away from the belief's mean, or towards it: `b + factor (w - b)`, process noise with it."""

    belief: AbstractDynamics
    world: AbstractDynamics
    factor: Real

    @property
    def world_count(self) -> int:
        return 1

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        return _stretched(self.world.predict(obs, action), self.belief.predict(obs, action).mean, self.factor)

    def worlds(self, key: PRNGKeyArray, count: int) -> "RecalibratedWorld":
        return copies(self, count)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        mean = self.belief.predict(obs, action).mean
        return mean + self.factor * (self.world.sample(key, obs, action) - mean)


class Recalibrated(AbstractDynamics):
    """`belief` with every deviation from its mean times `factor`: both parts of the variance times its square.

    A planner takes it in place of the belief. Each step of a world asks the belief for its mean too, so an ensemble of
    m members costs m + 1 nets a step instead of one.

    >>> from handful import KnownDynamics
    >>> doubtful = Recalibrated(KnownDynamics(lambda obs, action: obs + action), 1.5)
    >>> doubtful.world_count
    1

    Source: [Levi22] on one step. Deviates: the factor acts in every step of a rollout, and in each world as a whole.
    """

    belief: AbstractDynamics
    factor: Real = real(1.0)

    @property
    def world_count(self) -> int | None:
        return self.belief.world_count

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        prediction = self.belief.predict(obs, action)
        return _stretched(prediction, prediction.mean, self.factor)

    def worlds(self, key: PRNGKeyArray, count: int) -> RecalibratedWorld:
        around_mean = eqx.filter_vmap(RecalibratedWorld, in_axes=(None, eqx.if_array(0), None), axis_size=count)
        return around_mean(self.belief, self.belief.worlds(key, count), self.factor)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        mean = self.belief.predict(obs, action).mean
        return mean + self.factor * (self.belief.sample(key, obs, action) - mean)


class RecalibratedLearner(AbstractLearner):
    """A learner whose beliefs are stretched by a factor that is known from before, as `handful fit` finds it."""

    learner: AbstractLearner
    factor: Real = real(1.0)

    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        return self.learner.init(key, task)

    def fit(self, key: PRNGKeyArray, state: Any, data: Dataset) -> tuple[Any, FitReport]:
        return self.learner.fit(key, state, data)

    def model(self, state: Any) -> Recalibrated:
        return Recalibrated(self.learner.model(state), self.factor)


def _stretched(prediction: Prediction, centre: Float[Array, "o"], factor: Float[Array, ""]) -> Prediction:
    return Prediction(
        centre + factor * (prediction.mean - centre), factor**2 * prediction.aleatoric, factor**2 * prediction.epistemic
    )
