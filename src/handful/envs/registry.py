"""The built-in tasks: where each lives, and what is known of it. Nothing here needs JAX until a task is loaded."""

import importlib
from dataclasses import dataclass
from typing import Any

from handful.errors import InputError


@dataclass(frozen=True)
class Entry:
    """One built-in task."""

    path: str  # module:what makes it
    summary: str
    known: str  # undiscounted returns of a trial, to read learned ones against
    solved: float  # the return of a trial from which on the task counts as solved

    def load(self) -> Any:
        """The environment with its default constants. Raises `InputError` where it needs a package that is missing."""
        module, _, name = self.path.partition(":")
        try:
            return getattr(importlib.import_module(module), name)()
        except ModuleNotFoundError as error:
            if error.name != "mujoco":
                raise
            raise InputError("this task needs MuJoCo; install it with: pip install 'handful[mujoco]'") from error


# Means: of zero action (or the first category) and of random over 2000 starts; of the best over 16 starts, planning
# with the true dynamics (pendulum: iCEM, horizon 30), and for the point mass over 2000, by the linear-quadratic
# regulator, exactly.
TASKS = {
    "cartpole-swingup": Entry(
        path="handful.envs.cartpole:CartPoleSwingUp",
        summary="swing a hanging pole up and hold its tip over the middle of the rail (PETS's task)",
        known="zero action 2.8, random about -4, about 180 can be had",
        solved=170.0,
    ),
    "pendulum": Entry(
        path="handful.envs.pendulum:Pendulum",
        summary="swing a rod up with a motor too weak to lift it in one go, and hold it (Gymnasium's Pendulum-v1)",
        known="zero action and random both about -1200, about -150 can be had",
        solved=-200.0,
    ),
    "point-mass": Entry(
        path="handful.envs.point_mass:PointMass",
        summary="bring a mass to rest at the origin of a plane: linear dynamics, quadratic cost",
        known="zero action about -106, random about -1040, -14 at best",
        solved=-20.0,
    ),
    "cartpole-v1": Entry(
        path="handful.envs.cartpole_v1:CartPoleV1",
        summary="keep a pole upright by pushing its cart left or right (Gymnasium's CartPole-v1)",
        known="always left 9.4, random 22.5, 500 at most",
        solved=475.0,
    ),
    "acrobot-v1": Entry(
        path="handful.envs.acrobot:Acrobot",
        summary="swing the free end of two links above a line, by a torque between them (Gymnasium's Acrobot-v1)",
        known="the same torque always -500, random -499",
        solved=-100.0,
    ),
    "pendulum-v1": Entry(
        path="handful.envs.pendulum_v1:PendulumV1",
        summary="the same pendulum, its angle seen as cosine and sine (exactly Gymnasium's Pendulum-v1)",
        known="zero action and random both about -1200, about -150 can be had",
        solved=-200.0,
    ),
    "mountain-car-continuous-v0": Entry(
        path="handful.envs.mountain_car:MountainCar",
        summary="drive a weak car up its hill by going the other way first (Gymnasium's MountainCarContinuous-v0)",
        known="zero action 0, random -33",
        solved=90.0,
    ),
    "cartpole-swingup-mujoco": Entry(
        path="handful.envs.cartpole_mujoco:cartpole_swingup_mujoco",
        summary="the same swing-up, simulated by MuJoCo",
        known="zero action 2.8, random about -4, about 180 can be had",
        solved=170.0,
    ),
    "reacher-7dof": Entry(
        path="handful.envs.reacher_7dof:reacher_7dof",
        summary="an arm of seven joints brings its fingertips to a point in space (PETS's task; needs MuJoCo)",
        known="zero action -184, random -1511, the original -48 after 18 trials",
        solved=-48.0,
    ),
    "pusher-7dof": Entry(
        path="handful.envs.pusher_7dof:pusher_7dof",
        summary="an arm of seven joints pushes a cylinder to a mark (PETS's task; needs MuJoCo)",
        known="zero action -143, random -294, the original -79 after 18 trials",
        solved=-79.0,
    ),
    "half-cheetah-pets": Entry(
        path="handful.envs.half_cheetah_pets:half_cheetah_pets",
        summary="a two-legged cheetah runs forward in a plane (PETS's task; needs MuJoCo)",
        known="zero action -0.2, random -302, published PETS 4205 after 50 trials",
        solved=4205.0,
    ),
}
