"""Dynamics that are known: a function, believed without doubt, and a learner that has nothing to learn."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport, copies
from handful.task import Task
from handful.types import Prediction


class KnownDynamics(AbstractDynamics):
    """`next_obs = function(obs, action)`: the upper line of every comparison, and the oracle of every planner.

    The function may be an `equinox.Module` with parameters as array fields.
    """

    function: Callable[[Float[Array, "o"], Float[Array, "a"]], Float[Array, "o"]]

    @property
    def world_count(self) -> int:
        return 1

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        zero = jnp.zeros_like(obs)
        return Prediction(self.function(obs, action), zero, zero)

    def worlds(self, key: PRNGKeyArray, count: int) -> "KnownDynamics":
        return copies(self, count)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        return self.function(obs, action)


class KnownLearner(AbstractLearner):
    """Knows before the first trial all that it will ever know: no fit takes a step, and there is no loss to report.

    >>> import jax
    >>> from handful import PointMass
    >>> learner = KnownLearner(KnownDynamics(lambda obs, action: obs + action.sum()))
    >>> state = learner.init(jax.random.key(0), PointMass().task)
    >>> learner.model(state).predict(jnp.ones(4), jnp.array([0.5, 0.25])).mean.tolist()
    [1.75, 1.75, 1.75, 1.75]
    """

    belief: AbstractDynamics

    def init(self, key: PRNGKeyArray, task: Task) -> None:
        return None

    def fit(self, key: PRNGKeyArray, state: None, data: Dataset) -> tuple[None, FitReport]:
        none = jnp.full(1, jnp.nan)
        return None, FitReport(none, none, jnp.zeros((), int), jnp.zeros(1, bool))

    def model(self, state: None) -> AbstractDynamics:
        return self.belief
