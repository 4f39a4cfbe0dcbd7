"""What improves a policy from its own interaction: how it acts while it learns, and how it learns from what it met."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from handful.policies.base import AbstractPolicy
from handful.task import Task
from handful.types import Transition

Logged = dict[str, Float[Array, ""]]  # what an update tells of itself, by name


class AbstractActor(AbstractPolicy):
    """A policy without memory that draws a choice, and carries it out as an action.

    A learner learns from the choice (unclipped, or one category of many); the system gets the action.
    """

    def init(self) -> None:
        return None

    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        return self.to_env_action(self.draw(key, obs)), None

    @abstractmethod
    def draw(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        """The choice for `obs`."""

    @abstractmethod
    def to_env_action(self, choice: Float[Array, "c"]) -> Float[Array, "a"]:
        """The action that a choice stands for, within the task's limits."""


class AbstractPolicyLearner(eqx.Module):
    """Improves a policy from its own interaction, `length` steps in each of `envs` environments at a time.

    Hyperparameters are fields, memory is state: many seeds or many settings are one `vmap`.
    """

    envs: eqx.AbstractVar[int]  # environments side by side
    length: eqx.AbstractVar[int]  # [steps] in each of them between two updates

    @property
    def episodic(self) -> bool:
        """Whether every environment begins anew after an update, and only its first trial counts."""
        return False

    @abstractmethod
    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        """The state before any data. Raises `InputError` where the task's actions are of another kind."""

    @abstractmethod
    def actor(self, state: Any) -> AbstractActor:
        """How it acts while it learns."""

    @abstractmethod
    def update(self, key: PRNGKeyArray, state: Any, batch: Transition) -> tuple[Any, Logged]:
        """Learn from what was met since the last update: leading axes t n, and `action` holds the choices."""

    def on_reset(self, state: Any) -> Any:
        """The state where all environments begin anew, whatever trials were going on in them.

        What it holds of those must not meet the first steps of others.
        """
        return state

    @abstractmethod
    def policy(self, state: Any) -> AbstractPolicy:
        """What was learned, without the noise that learning needs."""
