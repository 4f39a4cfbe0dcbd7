"""The agent: it acts on a system, learns from what happened, and stands for a controller at any time."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.policies.base import AbstractPolicy
from handful.task import Task
from handful.types import Batch

Metrics = dict[str, Array]  # by name, of one update


class AbstractAgent(eqx.Module):
    """Learns to control a task from interaction. Hyperparameters are fields, memory is state.

    An agent acts with `actor` for `num_steps` steps in each of `num_envs` environments, learns from these with
    `update`, and acts again. `policy` is the controller as learned so far, without the noise that learning needs: it
    is what is evaluated and put to work.

    The state holds arrays alone, since checkpoints store it and `vmap` over seeds maps it. The task is not part of it:
    it is the same for all seeds, and its goals may change between two calls without recompiling.
    """

    if TYPE_CHECKING:  # type checkers would take abstract variables for the first arguments of every constructor
        num_envs: ClassVar[Any]
        num_steps: ClassVar[Any]
    else:
        num_envs: eqx.AbstractVar[int]  # environments side by side
        num_steps: eqx.AbstractVar[int | None]  # [steps] in each of them between two updates; None: a whole trial

    @property
    def episodic(self) -> bool:
        """True if every environment is reset before each batch, and only its first trial counts."""
        return False

    @property
    def trial_by_trial(self) -> bool:
        """True if it learns from one trial before it acts in the next, instead of in rounds of many updates."""
        return self.num_steps is None and self.num_envs == 1

    @abstractmethod
    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        """The state before any data. Raises `InputError` where the agent does not fit the task."""

    def explorer(self, key: PRNGKeyArray, task: Task) -> AbstractPolicy | None:
        """Who acts in the first trial, when nothing is known; None where that is the actor."""
        return None

    def actor(self, task: Task, state: Any) -> AbstractPolicy:
        """The policy that collects data, with exploration; an `AbstractActor` where it learns from raw actions."""
        return self.policy(task, state)

    @abstractmethod
    def update(self, key: PRNGKeyArray, task: Task, state: Any, batch: Batch) -> tuple[Any, Metrics]:
        """The state after learning from a batch, and metrics of the update."""

    @abstractmethod
    def policy(self, task: Task, state: Any) -> AbstractPolicy:
        """The learned controller, without exploration."""

    def model(self, state: Any) -> AbstractDynamics | None:
        """The learned dynamics model, if there is one: it is scored on each trial before it has seen it."""
        return None

    def reserve(self, state: Any, capacity: int) -> Any:
        """The state with room for `capacity` transitions in all, called outside compiled code.

        What is compiled for one capacity compiles again for another.
        """
        return state

    def on_reset(self, state: Any) -> Any:
        """The state when all environments are reset in mid-trial: what it holds of those trials must not go on."""
        return state
