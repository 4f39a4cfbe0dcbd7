"""The environment: a task and its dynamics, as pure functions."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from handful.task import Task
from handful.types import Step

Frame = UInt8[np.ndarray, "height width 3"]


class AbstractEnv(eqx.Module):
    """A system that can be reset and stepped inside a compiled function.

    Physical constants are array fields, so a batch of different systems is one `vmap` and changing a mass recompiles
    nothing. Actions outside the task's limits are clipped to them.
    """

    task: eqx.AbstractVar[Task]

    @abstractmethod
    def reset(self, key: PRNGKeyArray) -> tuple[Any, Float[Array, "o"]]:
        """Start a trial: returns the hidden state and the first observation."""

    @abstractmethod
    def step(self, key: PRNGKeyArray, state: Any, action: Float[Array, "a"]) -> tuple[Any, Step]:
        """Advance by `task.dt`."""

    def draw(self, obs: Float[np.ndarray, "o"]) -> Frame | None:
        """Returns a picture of the system at `obs`, or None if it cannot be drawn."""
        return None
