"""Checks the length of a control step against the environment's declarations and its rates of change."""

import contextlib
import re
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from handful.checks.trials import Recording, Result
from handful.data.angles import shorter_way
from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.task import Task

FIT = 0.98  # of an entry's squared change, to call another entry its rate
NEAR = 0.1  # of the task's step: the error of solvers with several substeps is less


class RateFit(NamedTuple):
    """An entry that changes by `seconds` times another one."""

    share: float  # of the squared change that this explains
    seconds: float
    moving: str
    rate: str


def step_length(env: AbstractEnv | GymnasiumEnv, seen: Recording, size: int) -> Result:
    """Compares the task's step with declared and measured ones."""
    dt, said = env.task.dt, declared(env)
    rates = measured(env.task, seen, size)
    fitting = [rate for rate in rates if abs(rate.seconds / dt - 1) <= NEAR]
    parts = [f"the task declares {dt:g} s", *(f"{name} says {seconds:g} s" for name, seconds in said.items())]
    if rates:
        shown = max(fitting or rates)
        parts.append(f"{shown.moving!r} moves by {shown.seconds:.3g} s x {shown.rate!r}")
    wrong = any(abs(seconds / dt - 1) > 1e-3 for seconds in said.values()) or (bool(rates) and not fitting)
    if not said and not rates:
        parts.append("nothing is declared, and no entry is the rate of another")
    return "; ".join(parts), "off" if wrong else "ok" if said or rates else "unknown"


def declared(env: AbstractEnv | GymnasiumEnv) -> dict[str, float]:
    """The step [s] that a Gymnasium environment declares; from frames a second only where there is nothing better."""
    if isinstance(env, AbstractEnv):
        return {}
    raw: Any = env.env.unwrapped
    found: dict[str, Any] = {"dt": getattr(raw, "dt", None), "tau": getattr(raw, "tau", None)}
    with contextlib.suppress(AttributeError):
        found["MuJoCo's timestep x frame_skip"] = raw.model.opt.timestep * raw.frame_skip
    known = {name: float(value) for name, value in found.items() if _is_positive(value)}
    frames: Any = env.env.metadata.get("render_fps")
    return known or ({"render_fps": 1 / float(frames)} if _is_positive(frames) else {})


def measured(task: Task, seen: Recording, size: int) -> list[RateFit]:
    """The rate of change of each entry, where another entry is one: before the step, after it, or in the mean.

    Where names carry units, a rate has the entry's unit per second; otherwise any other entry may be one.
    """
    change = np.asarray(shorter_way(seen.next_obs - seen.obs, task.angles), float)[:, :size]
    before, after = seen.obs.astype(float), seen.next_obs.astype(float)
    units = [re.findall(r"\[(.+)\]$", name) for name in task.names]
    best = [
        max(
            (
                _fit(change[:, moving], values[:, other], task.names[moving], task.names[other])
                for other in range(size)
                if other != moving and units[other] == [f"{unit}/s" for unit in units[moving]]
                for values in (before, after, (before + after) / 2)
            ),
            default=None,
        )
        for moving in range(size)
    ]
    return [fit for fit in best if fit and fit.share >= FIT and fit.seconds > 0]


def _fit(change: Float[np.ndarray, "t"], rate: Float[np.ndarray, "t"], moving: str, name: str) -> RateFit:
    square, total = rate @ rate, change @ change
    if min(square, total) <= 0:
        return RateFit(-np.inf, 0.0, moving, name)
    seconds = (change @ rate) / square
    return RateFit(float(1 - np.square(change - seconds * rate).sum() / total), float(seconds), moving, name)


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and 0 < float(value) < np.inf
