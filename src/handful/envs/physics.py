"""The equations that a task declares beside its environment, with unknown parameters or as the true dynamics."""

import dataclasses
import sys
from typing import Any

from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.info import TaskInfo, declared_in
from handful.errors import InputError
from handful.models.known import KnownLearner
from handful.models.physics_learner import PhysicsLearner


def info_of_env(env: Any) -> TaskInfo:
    """Returns the `TaskInfo` that `load` attached to an environment, or that the module of its class declares."""
    hosted = isinstance(env, GymnasiumEnv)
    if hosted and env.task_info is not None:
        return env.task_info
    kind = type(env.env.unwrapped) if hosted else type(env)
    return declared_in(sys.modules.get(kind.__module__), TaskInfo(kind.__name__, lambda: env, ""))


def physics_of(env: Any, *, guess_error: float = 1.0) -> PhysicsLearner:
    """The learner for a task's physics: `physics` of its `TaskInfo`, or in the module that defines the environment.

    `guess_error` multiplies and divides the guesses in turn: 1.43 starts with every parameter 43 % too high or 30 %
    too low.

    >>> from handful import CartPoleSwingUp
    >>> physics_of(CartPoleSwingUp(), guess_error=1.3).parameters.names
    ('cart mass', 'pole mass', 'pole com distance', 'slider friction', 'hinge friction')

    Raises `InputError` if no physics is declared, or if the observation holds entries that physics cannot predict.
    """
    info = info_of_env(env)
    declared = info.physics
    if isinstance(env, GymnasiumEnv) and env.physics is not None:
        declared = env.physics
    learner = declared if isinstance(declared, PhysicsLearner) or not callable(declared) else declared(env)
    if not isinstance(learner, PhysicsLearner):
        raise InputError(
            f"there is no physics for {_kind(env)}; write `physics = PhysicsLearner(Acceleration(function), "
            f"[Parameter(...), ...])` beside it, got {learner!r}"
        )
    if env.task.memoryless:
        missing = " and ".join(env.task.names[index] for index in env.task.memoryless)
        raise InputError(f"physics cannot predict {missing}; write what is missing as a function beside it")
    if guess_error == 1.0:
        return learner
    return dataclasses.replace(learner, parameters=learner.parameters.wrong(guess_error))


def truth_of(env: Any) -> KnownLearner:
    """The learner that knows a task from the start: it steps the environment's own equations or MuJoCo.

    What the observation does not determine of the state is taken as zero; see `docs/mujoco.md`.

    >>> from handful import PointMass
    >>> truth_of(PointMass()).belief.world_count
    1

    Raises `InputError` if the task declares no `truth`.
    """
    truth = None if env is None else info_of_env(env).truth
    learner = truth(env) if callable(truth) else truth
    if not isinstance(learner, KnownLearner):
        raise InputError(
            "the true dynamics can be planned through only where a task declares them as `truth`, as built-in tasks do "
            f"whose observation determines the state, got {_kind(env)}; leave --model truth out"
        )
    return learner


def _kind(env: Any) -> str:
    if env is None:
        return "no task"
    return type(env.env.unwrapped if isinstance(env, GymnasiumEnv) else env).__name__
