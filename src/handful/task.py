"""The task: rewards, termination and action limits, independent of the dynamics of the system."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from handful.errors import InputError
from handful.fields import Real, check_within, real

Reward = Callable[[Float[Array, "o"], Float[Array, "a"], Float[Array, "o"]], Float[Array, ""]]
Terminated = Callable[[Float[Array, "o"]], Bool[Array, ""]]

MAX_ENTRIES = 10_000  # of an observation or an action: learners keep rows of them, and matrices of layers by them
MAX_STEPS = 2**31 - 1  # of a trial; times are 32-bit integers


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _limits(value: Any) -> Any:
    plain = isinstance(value, list | tuple | np.ndarray) or (eqx.is_array(value) and not eqx.is_inexact_array(value))
    with np.errstate(over="ignore"):  # what is too great becomes infinite, which is refused
        return jnp.asarray(value, float) if plain else value


def never(obs: Float[Array, "o"]) -> Bool[Array, ""]:
    """The termination of a task that ends by its time limit only."""
    return jnp.zeros((), bool)


class Task(eqx.Module):
    """The one definition of a task, which both the environment and the planner use.

    A `reward` or `terminated` that is an `equinox.Module` may have goals as array fields; changing them recompiles
    nothing.

    Raises `InputError` if limits, names and indices do not fit each other, or a number is out of range.
    """

    reward: Reward  # reward(obs, action, next_obs)
    low: Float[Array, "a"] = eqx.field(converter=_limits)  # lower limits of actions
    high: Float[Array, "a"] = eqx.field(converter=_limits)  # upper limits of actions
    names: tuple[str, ...] = eqx.field(
        static=True, converter=_listed
    )  # of the entries of the observation, units in brackets
    dt: float = eqx.field(static=True)  # [s] of one control step
    horizon: int = eqx.field(static=True)  # [steps] length of a trial
    terminated: Terminated = never  # terminated(next_obs)
    angles: tuple[int, ...] = eqx.field(
        static=True, default=(), converter=_listed
    )  # entries that models take as sine and cosine
    memoryless: tuple[int, ...] = eqx.field(
        static=True, default=(), converter=_listed
    )  # entries that are predicted directly and are never inputs
    categorical: bool = eqx.field(static=True, default=False)  # actions are categories, as one-hot vectors
    discount: Real = real(1.0)

    def __check_init__(self) -> None:
        self._check_limits()
        names = self.names
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise InputError(f"names must be a tuple of strings, one per entry of the observation, got {names!r}")
        for what, size in (("an observation", self.obs_size), ("an action", self.action_size)):
            if size > MAX_ENTRIES:
                raise InputError(f"{what} may have {MAX_ENTRIES} entries at most, got {size}")
        if not isinstance(self.dt, int | float | np.number) or not 0 < self.dt < math.inf:
            raise InputError(f"dt, the duration of a control step, must be finite and above 0 s, got {self.dt!r}")
        if not isinstance(self.horizon, int | np.integer) or self.horizon < 1:
            raise InputError(f"a trial must last at least one step, got horizon={self.horizon}")
        if self.horizon > MAX_STEPS:
            raise InputError(f"a trial may last {MAX_STEPS} steps at most, got horizon={self.horizon}")
        check_within(self, "discount", 0.0, 1.0)
        for field in ("angles", "memoryless"):
            indices = getattr(self, field)
            if any(not 0 <= index < self.obs_size for index in indices) or len(set(indices)) != len(indices):
                raise InputError(
                    f"{field} must be distinct indices below {self.obs_size} (the number of names), got {indices}"
                )

    def _check_limits(self) -> None:
        limits = (self.low, self.high)
        shapes = [np.shape(limit) for limit in limits]
        if len(shapes[0]) != 1 or shapes[0] != shapes[1]:
            raise InputError(f"low and high must be vectors of one length, got shapes {shapes[0]} and {shapes[1]}")
        if not all(eqx.is_array(limit) for limit in limits) or any(isinstance(limit, Tracer) for limit in limits):
            return
        low, high = (np.asarray(limit) for limit in limits)
        with np.errstate(over="ignore", invalid="ignore"):
            usable = (
                np.isfinite(low) & np.isfinite(high) & (low <= high) & np.isfinite(high - low) & np.isfinite(high + low)
            )
        if not usable.all():
            entry = int(usable.argmin())
            raise InputError(
                "action limits must be finite with low at most high, and so must be their sum and difference, got "
                f"low={low[entry]} and high={high[entry]} of entry {entry}"
            )
        if self.categorical and ((low != 0).any() or (high != 1).any()):
            raise InputError(f"one-hot actions must have the limits 0 and 1, got low={low} and high={high}")

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
