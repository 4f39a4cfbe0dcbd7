"""Systems to control."""

from typing import TYPE_CHECKING

from handful.lazy import public_names

if TYPE_CHECKING:
    from handful.envs.acrobot import Acrobot as Acrobot
    from handful.envs.base import AbstractEnv as AbstractEnv
    from handful.envs.cartpole import CartPoleSwingUp as CartPoleSwingUp
    from handful.envs.cartpole_v1 import CartPoleV1 as CartPoleV1
    from handful.envs.gymnasium_adapter import GymnasiumEnv as GymnasiumEnv
    from handful.envs.info import PolicyPreset as PolicyPreset
    from handful.envs.info import TaskInfo as TaskInfo
    from handful.envs.loading import as_env as as_env
    from handful.envs.loading import load as load
    from handful.envs.mountain_car import MountainCar as MountainCar
    from handful.envs.pendulum import Pendulum as Pendulum
    from handful.envs.pendulum_v1 import PendulumV1 as PendulumV1
    from handful.envs.physics import physics_of as physics_of
    from handful.envs.point_mass import PointMass as PointMass
    from handful.envs.registry import info_of as info_of

# Each public name and the module it is loaded from when it is first used.
__all__, __dir__, __getattr__ = public_names(
    __name__,
    {
        "AbstractEnv": "envs.base",
        "Acrobot": "envs.acrobot",
        "CartPoleSwingUp": "envs.cartpole",
        "CartPoleV1": "envs.cartpole_v1",
        "GymnasiumEnv": "envs.gymnasium_adapter",
        "MountainCar": "envs.mountain_car",
        "Pendulum": "envs.pendulum",
        "PendulumV1": "envs.pendulum_v1",
        "PointMass": "envs.point_mass",
        "PolicyPreset": "envs.info",
        "TaskInfo": "envs.info",
        "as_env": "envs.loading",
        "info_of": "envs.registry",
        "load": "envs.loading",
        "physics_of": "envs.physics",
    },
)
