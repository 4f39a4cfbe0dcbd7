"""The controlled system as a report must know it: from the record of the run, without running code of the user."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful.envs.base import AbstractEnv
from handful.envs.loading import load
from handful.envs.registry import TASKS, _loaded
from handful.errors import InputError
from handful.task import Task
from handful.training.schema import NUMBER, check_content


@dataclass(frozen=True)
class Plant:
    """What a report must know of the controlled system, as `config.json` holds it under "system"."""

    names: tuple[str, ...]  # of the observation's entries
    angles: tuple[int, ...]  # indices of entries that are angles
    dt: float  # [s] a control step
    horizon: int  # [steps] of a trial
    discount: float
    low: tuple[float, ...]  # limits of the action; infinite where there is none
    high: tuple[float, ...]
    categorical: bool  # an action is one of several categories
    hosted: bool  # it runs on the host, not in compiled code

    @classmethod
    def recorded(cls, system: dict[str, Any]) -> "Plant":
        """From JSON, in which null stands for no limit. Raises `InputError` where it has another form."""
        check_content(system, SYSTEM, "'system' of config.json")
        names, angles = tuple(system["names"]), tuple(system["angles"])
        low, high = (
            tuple(sign * math.inf if limit is None else float(limit) for limit in system[name])
            for name, sign in (("low", -1), ("high", 1))
        )
        if len(low) != len(high) or not all(0 <= angle < len(names) for angle in angles) or not system["dt"] > 0:
            raise InputError("'system' of config.json does not fit itself: limits, angles or dt")
        numbers = (float(system["dt"]), system["horizon"], float(system["discount"]))
        return cls(names, angles, *numbers, low, high, system["categorical"], system["hosted"])

    @classmethod
    def of(cls, task: Task, *, hosted: bool) -> "Plant":
        """What a task says."""
        low, high = (tuple(map(float, np.asarray(limit))) for limit in (task.low, task.high))
        facts = (task.dt, task.horizon, float(task.discount), low, high, task.categorical)
        return cls(task.names, task.angles, *facts, hosted)


SYSTEM = {
    "names": [str], "angles": [int], "dt": NUMBER, "horizon": int, "discount": NUMBER, "low": [(*NUMBER, type(None))],
    "high": [(*NUMBER, type(None))], "categorical": bool, "hosted": bool,
}  # fmt: skip


def system_of(config: dict[str, Any]) -> tuple[Plant | None, AbstractEnv | None, str | None]:
    """What is known of the system, its environment if that can draw, and a sentence where nothing is known.

    Code of the user is never run for a report: an environment is made only where it is built in or its file was already
    loaded by this process.
    """
    recorded, name = config.get("system"), config.get("task") or ""
    plant = None if recorded is None else Plant.recorded(recorded)
    if plant and (plant.hosted or not at_hand(name)):
        return plant, None, None
    if not at_hand(name) and not re.fullmatch(r"gymnasium:[^:]+", name):
        why = "config.json does not record its names, step and limits, and no code of yours is run for a report"
        return None, None, f"The task cannot be loaded here: {why}, so entries have no names and time counts steps."
    try:
        env = load(name)
    except InputError as error:
        note = f"The task cannot be loaded here, so entries have no names and time counts steps: {error}."
        return plant, None, None if plant else note
    if isinstance(env, AbstractEnv):
        return plant or Plant.of(env.task, hosted=False), env, None
    env.close()
    return plant or Plant.of(env.task, hosted=True), None, None


def at_hand(task: str) -> bool:
    """True if making the environment runs no code but ours and what this process has run before."""
    return task in TASKS or (".py" in task and _loaded(task) is not None)
