"""Known dynamics: a function as a belief, and a learner that has nothing to fit."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.models.base import AbstractDynamics, AbstractLearner, AbstractWorld, FitReport
from handful.task import Task
from handful.types import Prediction


class KnownDynamics(AbstractWorld):
    """`next_obs = function(obs, action)`, without uncertainty: the upper bound in comparisons, and an oracle for tests.

    The function may be an `equinox.Module` with parameters as array fields.
    """

    function: Callable[[Float[Array, "o"], Float[Array, "a"]], Float[Array, "o"]]

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        zero = jnp.zeros_like(obs)
        return Prediction(self.function(obs, action), zero, zero)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        return self.function(obs, action)  # no noise is drawn to be multiplied by zero


class KnownLearner(AbstractLearner):
    """Returns the same belief after every fit: no steps are taken, and the loss is NaN.

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

    def update(self, key: PRNGKeyArray, state: None, data: Dataset) -> tuple[None, FitReport]:
        nan = jnp.full(1, jnp.nan)
        return None, FitReport(nan, nan, jnp.zeros((), int), jnp.zeros(1, bool))

    def model(self, state: None) -> AbstractDynamics:
        return self.belief
