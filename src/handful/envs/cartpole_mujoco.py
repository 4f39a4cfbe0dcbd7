"""PETS's cart-pole swing-up in MuJoCo: the same task on the same mechanism as the one in JAX."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo has no type stubs.

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.envs import cartpole
from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.info import TaskInfo
from handful.envs.mujoco_system import AbstractMujocoSystem, simulated
from handful.task import never

if TYPE_CHECKING:
    import mujoco

MARKS = "".join(f'<geom type="box" pos="{x / 2} 0 0" size="0.01 0.02 0.05"/>' for x in range(-6, 7))

XML = f"""
<mujoco>
  <option integrator="RK4" timestep="0.02"/>
  <visual><headlight ambient="0.5 0.5 0.5"/></visual>
  <asset><texture type="skybox" builtin="flat" rgb1="0.97 0.98 0.99" width="16" height="96"/></asset>
  <default><geom contype="0" conaffinity="0" rgba="0.55 0.61 0.66 1"/></default>
  <worldbody>
    <geom type="capsule" fromto="-3 0 0 3 0 0" size="0.015"/>{MARKS}
    <geom type="sphere" pos="0 0.1 0.6" size="0.06" rgba="0.25 0.56 0.4 0.6"/>
    <body>
      <camera name="view" mode="track" pos="0 -2.4 0.1" xyaxes="1 0 0 0 0 1"/>
      <joint name="slider" type="slide" axis="1 0 0" damping="1" limited="true" range="-2.5 2.5"/>
      <inertial pos="0 0 0" mass="10.47198" diaginertia="1 1 1"/>
      <geom type="box" size="0.15 0.1 0.08" rgba="0.2 0.43 0.66 1"/>
      <body>
        <joint name="hinge" type="hinge" axis="0 1 0" damping="1"/>
        <inertial pos="0 0 -0.3" mass="5.01859" diaginertia="0.18875 0.18875 0.01"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.6" size="0.03" rgba="0.9 0.49 0.2 1"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="slider" gear="100" ctrllimited="true" ctrlrange="-3 3"/></actuator>
</mujoco>
"""


class CartPoleMujoco(AbstractMujocoSystem):
    """Observes positions, then velocities."""

    def __init__(self) -> None:
        import mujoco

        model = mujoco.MjModel.from_xml_string(XML)
        self.set_up(model, reward=CartPoleSwingUp().task.reward, substeps=2, steps=200, camera="view")

    def start(self, rng: np.random.Generator) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
        return rng.normal(0.0, 0.1, 2), rng.normal(0.0, 0.1, 2)

    def seen(self, data: "mujoco.MjData", before: "mujoco.MjData") -> Float[np.ndarray, "4"]:
        return np.concatenate([data.qpos, data.qvel])

    def state_of(self, obs: Float[Array, "4"]) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        return obs[:2], obs[2:]

    def observed(self, obs: Float[Array, "4"], q: Float[Array, "2"], v: Float[Array, "2"]) -> Float[Array, "4"]:
        return jnp.concatenate([q, v])


def cartpole_swingup_mujoco() -> GymnasiumEnv:
    """Returns the adapted environment.

    Source: [Chua18] `cartpole.xml`, with the masses and inertias that MuJoCo computes from its shapes. Deviates: no.
    """
    task = CartPoleSwingUp().task
    return GymnasiumEnv(CartPoleMujoco(), reward=task.reward, terminated=never, names=task.names, angles=task.angles)


INFO = TaskInfo(
    name="cartpole-swingup-mujoco",
    make=cartpole_swingup_mujoco,
    summary="the same swing-up, simulated by MuJoCo",
    reference=cartpole.INFO.reference,
    solved_return=170.0,
    grid=cartpole.INFO.grid,
    tabular=cartpole.INFO.tabular,
    optimism=cartpole.INFO.optimism,
    truth=simulated,
)
