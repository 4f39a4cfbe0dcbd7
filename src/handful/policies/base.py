"""The policy: from what is seen to what is done."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray


class AbstractPolicy(eqx.Module):
    """A controller. What it remembers is its carry, and only `init` makes one, so nothing survives a reset."""

    @abstractmethod
    def init(self) -> Any:
        """The carry at the start of a trial."""

    @abstractmethod
    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: Any) -> tuple[Float[Array, "a"], Any]:
        """The action for `obs`, and the carry for the next step."""

    def info(self, carry: Any) -> dict[str, Array]:
        """What to record of a step beside its transition, by name, from the carry after it."""
        return {}
