"""Checks the length of a control step against the environment's declarations and its rates of change."""

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from handful.checks.finding import Finding
from handful.checks.trials import Recording
from handful.data.angles import shorter_way
from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.task import Task

FIT = 0.98  # of an entry's squared change, to call another entry its rate
NEAR = 0.1  # of the task's step: the error of solvers with several substeps is less


@dataclass(frozen=True)
class RateFit:
    """An entry that changes by `seconds` times another one."""

    seconds: float
    moving: str
    rate: str
    share: float  # of the squared change that this explains


def step_length(env: AbstractEnv | GymnasiumEnv, seen: Recording, size: int) -> Finding:
    """Compares the task's step with declared and measured ones."""
    dt, said = env.task.dt, declared(env)
    rates = measured(env.task, seen, size)
    fitting = [rate for rate in rates if abs(rate.seconds / dt - 1) <= NEAR]
    shown = max(fitting or rates, key=_share, default=None)
    parts = [f"the task declares {dt:g} s", *(f"{name} says {seconds:g} s" for name, seconds in said.items())]
    if shown:
        parts.append(f"{shown.moving!r} moves by {shown.seconds:.3g} s x {shown.rate!r}")
    wrong = any(abs(seconds / dt - 1) > 1e-3 for seconds in said.values()) or (bool(rates) and not fitting)
    if not said and not rates:
        parts.append("nothing is declared, and no entry is the rate of another")
    return Finding("step length", "; ".join(parts), "off" if wrong else "ok" if said or rates else "unknown")


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
    """The rate of change of each entry, where another entry is one.

    Where names carry units, a rate has the entry's unit per second; otherwise any other entry may be one.
    """
    change = np.asarray(shorter_way(seen.next_obs - seen.obs, task.angles), float)[:, :size]
    units = [_unit(name) for name in task.names[:size]]
    rates = []
    for moving in range(size):
        fits = [
            _fit(task.names, change[:, moving], seen, moving, other)
            for other in range(size)
            if other != moving and _may_be_rate(units[moving], units[other])
        ]
        best = max(fits, key=_share, default=None)
        if best and best.share >= FIT and best.seconds > 0:
            rates.append(best)
    return rates


def _fit(names: tuple[str, ...], change: Float[np.ndarray, "t"], seen: Recording, moving: int, other: int) -> RateFit:
    """The best fit of three: with the rate before the step, after it, and their mean."""
    before, after = (each[:, other].astype(float) for each in (seen.obs, seen.next_obs))
    best = RateFit(0.0, names[moving], names[other], -np.inf)
    for rate in (before, after, (before + after) / 2):
        square, total = rate @ rate, change @ change
        if min(square, total) > 0:
            seconds = (change @ rate) / square
            share = 1 - np.square(change - seconds * rate).sum() / total
            best = max(best, RateFit(float(seconds), names[moving], names[other], float(share)), key=_share)
    return best


def _share(rate: RateFit) -> float:
    return rate.share


def _may_be_rate(unit: str | None, other: str | None) -> bool:
    return other == f"{unit}/s" if unit and other else not (unit or other)


def _unit(name: str) -> str | None:
    found = re.search(r"\[(.+)\]$", name)
    return found[1] if found else None


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and 0 < float(value) < np.inf
