"""How long is a control step? What the environment declares, and what its own speeds tell."""

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from handful.data.angles import shorter_way
from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.evaluation.checks.finding import Finding
from handful.evaluation.checks.trials import Recording
from handful.task import Task

FIT = 0.98  # of an entry's squared change, to call another entry its rate
NEAR = 0.1  # of the task's step: solvers that take several substeps are off by less


@dataclass(frozen=True)
class Rate:
    """An entry that moves by `seconds` times another one."""

    seconds: float
    moving: str
    rate: str
    share: float  # of the squared change that this explains


def step_length(env: AbstractEnv | GymnasiumEnv, seen: Recording, size: int) -> Finding:
    """The task's step against what is declared and what is measured."""
    dt, said = env.task.dt, declared(env)
    rates = measured(env.task, seen, size)
    fitting = [rate for rate in rates if abs(rate.seconds / dt - 1) <= NEAR]
    shown = max(fitting or rates, key=_share, default=None)
    parts = [f"the task takes {dt:g} s", *(f"{name} says {seconds:g} s" for name, seconds in said.items())]
    if shown:
        parts.append(f"{shown.moving!r} moves by {shown.seconds:.3g} s x {shown.rate!r}")
    wrong = any(abs(seconds / dt - 1) > 1e-3 for seconds in said.values()) or (bool(rates) and not fitting)
    if not said and not rates:
        parts.append("nothing is declared, and no entry is the rate of another")
    return Finding("step length", "; ".join(parts), "off" if wrong else "ok" if said or rates else "not told")


def declared(env: AbstractEnv | GymnasiumEnv) -> dict[str, float]:
    """What a Gymnasium environment says of its step [s]; frames a second only where it says nothing better."""
    if isinstance(env, AbstractEnv):
        return {}
    raw: Any = env.env.unwrapped
    found: dict[str, Any] = {"dt": getattr(raw, "dt", None), "tau": getattr(raw, "tau", None)}
    with contextlib.suppress(AttributeError):
        found["MuJoCo's timestep x frame_skip"] = raw.model.opt.timestep * raw.frame_skip
    known = {name: float(value) for name, value in found.items() if _is_positive(value)}
    frames: Any = env.env.metadata.get("render_fps")
    return known or ({"render_fps": 1 / float(frames)} if _is_positive(frames) else {})


def measured(task: Task, seen: Recording, size: int) -> list[Rate]:
    """For each entry the one that is its rate, where there is one.

    Where names carry units, a rate has the entry's unit per second; where they do not, any other entry may be it.
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


def _fit(names: tuple[str, ...], change: Float[np.ndarray, "t"], seen: Recording, moving: int, other: int) -> Rate:
    """The best of three: by the rate before the step, by that after it, by their mean."""
    before, after = (each[:, other].astype(float) for each in (seen.obs, seen.next_obs))
    best = Rate(0.0, names[moving], names[other], -np.inf)
    for rate in (before, after, (before + after) / 2):
        square, total = rate @ rate, change @ change
        if min(square, total) > 0:
            seconds = (change @ rate) / square
            share = 1 - np.square(change - seconds * rate).sum() / total
            best = max(best, Rate(float(seconds), names[moving], names[other], float(share)), key=_share)
    return best


def _share(rate: Rate) -> float:
    return rate.share


def _may_be_rate(unit: str | None, other: str | None) -> bool:
    return other == f"{unit}/s" if unit and other else not (unit or other)


def _unit(name: str) -> str | None:
    found = re.search(r"\[(.+)\]$", name)
    return found[1] if found else None


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and 0 < float(value) < np.inf
