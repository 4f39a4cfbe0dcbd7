"""The agent: what learns from trials and acts in the next one."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from handful.data.dataset import Dataset
from handful.models.base import AbstractDynamics, FitReport
from handful.policies.base import AbstractPolicy
from handful.task import Task


class AbstractAgent(eqx.Module):
    """What a trial loop needs of a learner and its controller. Hyperparameters are fields, memory is state."""

    @abstractmethod
    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        """The state before any data."""

    @abstractmethod
    def explorer(self, key: PRNGKeyArray, task: Task) -> AbstractPolicy:
        """The policy of trial 0, when nothing is known."""

    @abstractmethod
    def fit(self, key: PRNGKeyArray, task: Task, state: Any, data: Dataset) -> tuple[Any, FitReport]:
        """Learn from all data so far."""

    @abstractmethod
    def model(self, state: Any) -> AbstractDynamics:
        """The belief that the state holds."""

    @abstractmethod
    def policy(self, task: Task, state: Any) -> AbstractPolicy:
        """The controller that the state stands for."""
