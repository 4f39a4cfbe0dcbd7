"""Policies that need no learning: uniform noise, a constant, a plan played from start to end."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.policies.base import AbstractPolicy
from handful.task import Task


class UniformPolicy(AbstractPolicy):
    """Independent uniform actions within the limits: the first trial."""

    low: Float[Array, "a"]
    high: Float[Array, "a"]

    @classmethod
    def of(cls, task: Task) -> "UniformPolicy":
        return cls(task.low, task.high)

    def init(self) -> None:
        return None

    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        return jax.random.uniform(key, self.low.shape, minval=self.low, maxval=self.high), None


class ConstantPolicy(AbstractPolicy):
    """The same action always; zero is the baseline that a first trial should be read against."""

    action: Float[Array, "a"]

    def init(self) -> None:
        return None

    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        return self.action, None


class OpenLoop(AbstractPolicy):
    """A plan, blind to what it sees. Past its end it holds its last action."""

    actions: Float[Array, "h a"]

    def init(self) -> Int[Array, ""]:
        return jnp.zeros((), int)

    def __call__(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: Int[Array, ""]
    ) -> tuple[Float[Array, "a"], Int[Array, ""]]:
        return self.actions[jnp.minimum(carry, self.actions.shape[0] - 1)], carry + 1
