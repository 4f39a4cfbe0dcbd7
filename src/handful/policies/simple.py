"""Policies without learning: uniform noise, a constant, a plan in open loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.policies.base import AbstractPolicy
from handful.task import Task


class UniformPolicy(AbstractPolicy):
    """Uniform actions within the limits, independent of each other, or equally likely categories."""

    low: Float[Array, "a"]
    high: Float[Array, "a"]
    categorical: bool = eqx.field(static=True, default=False)

    @classmethod
    def of(cls, task: Task) -> "UniformPolicy":
        return cls(task.low, task.high, task.categorical)

    def init(self) -> None:
        return None

    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        drawn = jax.random.uniform(key, self.low.shape, minval=self.low, maxval=self.high)
        return (chosen(drawn) if self.categorical else drawn), None


class ConstantPolicy(AbstractPolicy):
    """Always the same action, e.g. zero as a baseline.

    If actions are categories, zero selects the first one.
    """

    action: Float[Array, "a"]

    def init(self) -> None:
        return None

    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        return self.action, None


def chosen(scores: Float[Array, "*b a"]) -> Float[Array, "*b a"]:
    """The one-hot vector of the greatest entry, the first of equal ones."""
    return jax.nn.one_hot(jnp.argmax(scores, -1), scores.shape[-1], dtype=scores.dtype)


class OpenLoop(AbstractPolicy):
    """A plan executed without feedback. After its end the last action is repeated."""

    actions: Float[Array, "h a"]

    def init(self) -> Int[Array, ""]:
        return jnp.zeros((), int)

    def __call__(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: Int[Array, ""]
    ) -> tuple[Float[Array, "a"], Int[Array, ""]]:
        return self.actions[jnp.minimum(carry, self.actions.shape[0] - 1)], carry + 1
