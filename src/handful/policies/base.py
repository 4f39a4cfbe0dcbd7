"""The contract of a policy."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray


class AbstractPolicy(eqx.Module):
    """A controller. Its memory is the carry; a reset makes a new one by `init`, so nothing survives it."""

    @abstractmethod
    def init(self) -> Any:
        """The carry at the start of a trial."""

    @abstractmethod
    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: Any) -> tuple[Float[Array, "a"], Any]:
        """The action for `obs`, and the carry for the next step."""

    def info(self, carry: Any) -> dict[str, Array]:
        """Named values to record with a step, besides its transition, given the carry after it."""
        return {}
