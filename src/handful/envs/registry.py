"""The built-in tasks by name. Nothing here needs JAX until a task is asked for."""

import dataclasses
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from handful.envs.info import TaskInfo, declared_in

TASKS = {  # name -> the module in `handful.envs` that makes it and declares its INFO
    "cartpole-swingup": "cartpole",
    "pendulum": "pendulum",
    "point-mass": "point_mass",
    "cartpole-v1": "cartpole_v1",
    "acrobot-v1": "acrobot",
    "pendulum-v1": "pendulum_v1",
    "mountain-car-continuous-v0": "mountain_car",
    "cartpole-swingup-mujoco": "cartpole_mujoco",
    "reacher-7dof": "reacher_7dof",
    "pusher-7dof": "pusher_7dof",
    "half-cheetah-pets": "half_cheetah_pets",
}
FILE_MODULE = "handful_task_"  # prefix of the module that a user's file becomes when `load` runs it


def info_of(task: str) -> TaskInfo:
    """Returns the `TaskInfo` of a task by its name, with the defaults where nothing is known.

    A task of Gymnasium shares that of its port here, apart from equations. A user's file is not run: what it declares
    is known once `load` has run it.

    >>> info_of("gymnasium:CartPole-v1").preset.steps, info_of("rig.py:Rig").settings
    (100000, 'light')
    """
    if task in TASKS:
        return importlib.import_module(f"handful.envs.{TASKS[task]}").INFO
    unknown = TaskInfo(task, lambda: _load(task), "")
    if ".py" in task:
        return declared_in(_loaded(task), unknown)
    folded = identity_of(task)
    if folded in TASKS:
        return dataclasses.replace(
            info_of(folded), name=task, make=unknown.make, published=None, physics=None, truth=None
        )
    known = importlib.import_module("handful.envs.known_tasks").BY_IDENTITY.get(folded)
    return unknown if known is None else dataclasses.replace(unknown, settings=known.settings, preset=known.preset)


def identity_of(task: str) -> str:
    """The name that a task of Gymnasium shares with its port here.

    >>> identity_of("gymnasium:CartPole-v1")
    'cartpole-v1'
    """
    return task.removeprefix("gymnasium:").lower()


def _load(task: str) -> Any:
    return importlib.import_module("handful.envs.loading").load(task)


def _loaded(task: str) -> ModuleType | None:
    """The module of a user's file, or None if `load` has not run it."""
    path = Path(task.rpartition(":")[0] or task)
    module = sys.modules.get(FILE_MODULE + path.stem)
    there = getattr(module, "__file__", None)
    return module if there is not None and Path(there).resolve() == path.resolve() else None
