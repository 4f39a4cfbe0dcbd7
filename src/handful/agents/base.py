"""Agents that learn trial by trial, each time from all data so far."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from handful.agent import AbstractAgent, Metrics
from handful.agents.explorer import explorer
from handful.data.dataset import Dataset
from handful.fields import Real, check_finite, check_within
from handful.models.base import FitReport
from handful.policies.base import AbstractPolicy
from handful.task import Task
from handful.types import Batch


class TrialState(eqx.Module):
    """State of an agent that learns trial by trial."""

    learned: Any  # from the data: models, policies, optimiser states
    data: Dataset


class AbstractTrialAgent(AbstractAgent):
    """Adds each trial, or each `num_steps` steps of one, to a data set and learns from all of it.

    The first trial is explored by uniform actions, or by coloured Gaussian ones; see `explorer`.
    """

    if TYPE_CHECKING:  # see `AbstractAgent`
        first_colour: ClassVar[Any]
    else:
        first_colour: eqx.AbstractVar[Real | None]

    def __check_init__(self) -> None:
        check_within(self, "num_steps", 1.0)
        check_within(self, "first_colour", 0.0)
        check_finite(self, "first_colour")

    @property
    def num_envs(self) -> int:
        return 1

    @property
    def trial_by_trial(self) -> bool:
        return True

    @abstractmethod
    def start(self, key: PRNGKeyArray, task: Task) -> Any:
        """`TrialState.learned` before any data."""

    @abstractmethod
    def fit(self, key: PRNGKeyArray, task: Task, learned: Any, data: Dataset) -> tuple[Any, FitReport]:
        """`TrialState.learned` after learning from `data`, and a report of the fit."""

    def init(self, key: PRNGKeyArray, task: Task) -> TrialState:
        return TrialState(self.start(key, task), Dataset.empty(task, 1))

    def reserve(self, state: TrialState, capacity: int) -> TrialState:
        extra = capacity > state.data.capacity
        return TrialState(state.learned, state.data.grown(capacity)) if extra else state

    def explorer(self, key: PRNGKeyArray, task: Task) -> AbstractPolicy:
        return explorer(key, task, self.first_colour)

    def update(self, key: PRNGKeyArray, task: Task, state: TrialState, batch: Batch) -> tuple[TrialState, Metrics]:
        data = added(state.data, batch)
        learned, report = self.fit(key, task, state.learned, data)
        return TrialState(learned, data), {
            "fit_loss": report.loss,
            "holdout_nll": report.validation_nll,
            "fit_steps": report.steps[None],
            "diverged": report.diverged,
        }


def added(data: Dataset, batch: Batch) -> Dataset:
    """The data set with the valid rows of a batch of one environment, which come first in it.

    Its rows go on with the last trial in `data`, unless that is over.
    """
    rows, last = jax.tree.map(lambda leaf: leaf[:, 0], batch), data.count - 1
    over = (data.transitions.terminated | data.transitions.truncated)[last]
    trial = jnp.where(data.count > 0, data.trial[last] + over, 0)
    return data.add(rows.transitions, trial, rows.valid.sum())
