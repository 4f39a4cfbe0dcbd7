"""The task: rewards, termination and action limits, independent of the dynamics of the system."""

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
    """The termination of a task that ends by its time limit only."""
    return jnp.zeros((), bool)


class Task(eqx.Module):
    """The one definition of a task, which both the environment and the planner use.

    A `reward` or `terminated` that is an `equinox.Module` may have goals as array fields; changing them recompiles
    nothing.

    Raises `InputError` if limits, names and indices do not fit each other.
    """

    reward: Reward  # reward(obs, action, next_obs)
    low: Float[Array, "a"]  # lower limits of actions
    high: Float[Array, "a"]  # upper limits of actions
    names: tuple[str, ...] = eqx.field(static=True)  # of the entries of the observation, units in brackets
    dt: float = eqx.field(static=True)  # [s] of one control step
    horizon: int = eqx.field(static=True)  # [steps] length of a trial
    terminated: Terminated = never  # terminated(next_obs)
    angles: tuple[int, ...] = eqx.field(static=True, default=())  # entries that models take as sine and cosine
    memoryless: tuple[int, ...] = eqx.field(
        static=True, default=()
    )  # entries that are predicted directly and are never inputs
    categorical: bool = eqx.field(static=True, default=False)  # actions are categories, as one-hot vectors
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
                raise InputError(f"action limits must be finite with low at most high, got low={low} and high={high}")
            if self.categorical and ((low != 0).any() or (high != 1).any()):
                raise InputError(f"one-hot actions must have the limits 0 and 1, got low={low} and high={high}")
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
        """Raises `InputError` if an observation or an action has the wrong shape."""
        for what, value, size in (("an observation", obs, self.obs_size), ("an action", action, self.action_size)):
            if value is not None and jnp.shape(value) != (size,):
                raise InputError(f"{what} of this task must have the shape ({size},), got {jnp.shape(value)}")
