"""The true dynamics of a task as a belief: what a planner would do that had nothing to learn."""

from typing import Any

import equinox as eqx

from handful.agents.task_physics import Stepped
from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.cartpole_v1 import CartPoleV1
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.mountain_car import MountainCar
from handful.envs.pendulum import Pendulum
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.models.known import KnownDynamics, KnownLearner

PURE = (CartPoleSwingUp, CartPoleV1, MountainCar, Pendulum, PointMass)  # their state is their observation


def truth_of(env: Any) -> KnownLearner:
    """The learner that knows a built-in task from the start: it steps the environment's own equations or MuJoCo.

    What an observation does not tell of the state is taken for zero; see `docs/mujoco.md`.

    >>> from handful import PointMass
    >>> truth_of(PointMass()).belief.world_count
    1

    Raises `InputError` for any other environment.
    """
    if type(env) in PURE:
        return KnownLearner(KnownDynamics(eqx.Partial(Stepped(env, dict), parameters={})))
    system = env.env.unwrapped if isinstance(env, GymnasiumEnv) else env
    true_step = getattr(system, "true_step", None)
    if true_step is not None:
        return KnownLearner(KnownDynamics(true_step()))
    got = "no task" if env is None else type(system).__name__
    raise InputError(
        "the true dynamics can be planned through on built-in tasks alone, whose state can be told from the "
        f"observation (`handful tasks` lists them), got {got}; leave --model truth out"
    )
