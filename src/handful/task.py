"""A task: what is wanted of a system, apart from how the system moves."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from handful.errors import InputError
from handful.fields import Real, real

Reward = Callable[[Float[Array, "o"], Float[Array, "a"], Float[Array, "o"]], Float[Array, ""]]
Terminated = Callable[[Float[Array, "o"]], Bool[Array, ""]]


def never(obs: Float[Array, "o"]) -> Bool[Array, ""]:
    """The termination of a task that only time ends."""
    return jnp.zeros((), bool)


class Task(eqx.Module):
    """What is wanted, written once: the environment pays by it and the planner plans by it.

    A `reward` or `terminated` that is itself an `equinox.Module` may hold goals as array fields; changing them
    recompiles nothing.

    Raises `InputError` where limits, names and indices do not fit each other.
    """

    reward: Reward  # reward(obs, action, next_obs)
    low: Float[Array, "a"]  # least action
    high: Float[Array, "a"]  # greatest action
    names: tuple[str, ...] = eqx.field(static=True)  # one per observation entry, units in brackets
    dt: float = eqx.field(static=True)  # [s] one control step
    horizon: int = eqx.field(static=True)  # [steps] length of a trial
    terminated: Terminated = never  # terminated(next_obs)
    angles: tuple[int, ...] = eqx.field(static=True, default=())  # entries that nets see as sine and cosine
    memoryless: tuple[int, ...] = eqx.field(static=True, default=())  # entries predicted as they are, never an input
    categorical: bool = eqx.field(static=True, default=False)  # an action is one category of many, as a one-hot vector
    discount: Real = real(1.0)

    def __check_init__(self) -> None:
        if self.low.ndim != 1 or self.low.shape != self.high.shape:
            raise InputError(
                f"low and high must be vectors of one length, got shapes {self.low.shape} and {self.high.shape}"
            )
        limits = (self.low, self.high)
        if not any(isinstance(limit, Tracer) for limit in limits):
            low, high = (np.asarray(limit) for limit in limits)
            if not (np.isfinite(low) & np.isfinite(high) & (low <= high)).all():
                raise InputError(f"action limits must be finite and low at most high, got low={low} and high={high}")
            if self.categorical and ((low != 0).any() or (high != 1).any()):
                raise InputError(f"one-hot actions have the limits 0 and 1, got low={low} and high={high}")
        if self.horizon < 1:
            raise InputError(f"a trial must last at least one step, got horizon={self.horizon}")
        for field in ("angles", "memoryless"):
            indices = getattr(self, field)
            if any(not 0 <= index < self.obs_size for index in indices) or len(set(indices)) != len(indices):
                raise InputError(
                    f"{field} must be distinct indices below {self.obs_size} (the number of names), got {indices}"
                )

    @property
    def obs_size(self) -> int:
        return len(self.names)

    @property
    def action_size(self) -> int:
        return self.low.shape[0]

    def check(self, *, obs: Array | None = None, action: Array | None = None) -> None:
        """Raises `InputError` where an observation or an action has another shape than this task's."""
        for what, value, size in (("an observation", obs, self.obs_size), ("an action", action, self.action_size)):
            if value is not None and jnp.shape(value) != (size,):
                raise InputError(f"{what} of this task must have the shape ({size},), got {jnp.shape(value)}")
