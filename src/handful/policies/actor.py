"""The actor: a memoryless stochastic policy that learners can compute probabilities for."""

from abc import abstractmethod

from jaxtyping import Array, Float, PRNGKeyArray

from handful.policies.base import AbstractPolicy


class AbstractActor(AbstractPolicy):
    """A policy without memory that samples a raw action and maps it to an environment action.

    Learners train on the raw action (before clipping or squashing, or a one-hot category); the environment receives
    the mapped one.
    """

    def init(self) -> None:
        return None

    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        return self.to_env_action(self.sample(key, obs)), None

    @abstractmethod
    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        """A raw action for `obs`."""

    @abstractmethod
    def to_env_action(self, raw_action: Float[Array, "c"]) -> Float[Array, "a"]:
        """The environment action for a raw action, within the task's limits."""
