"""PETS's reacher: an arm of seven joints brings its fingertips to a point in space."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo has no type stubs.

from collections.abc import Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.info import Published, TaskInfo
from handful.envs.mujoco_system import AIM, STEEL, AbstractMujocoSystem, installed, photographed, simulated
from handful.fields import Real, real
from handful.task import never

if TYPE_CHECKING:
    import mujoco

Link = tuple[float, float, float]

BASE = (0.0, -0.188, 0.0)  # [m] of the shoulder
RANGES = {  # [rad]; the two other joints turn freely
    "r_shoulder_pan_joint": (-2.2854, 1.714602),
    "r_shoulder_lift_joint": (-0.5236, 1.3963),
    "r_upper_arm_roll_joint": (-3.9, 0.8),
    "r_elbow_flex_joint": (-2.3213, 0.0),
    "r_wrist_flex_joint": (-2.094, 0.0),
}
FREE = ("r_forearm_roll_joint", "r_wrist_roll_joint")
DAMPING = {"r_shoulder_pan_joint": 10.0, "r_shoulder_lift_joint": 10.0, "r_elbow_flex_joint": 1.0}  # [N m s/rad]
TORQUE = 20.0  # [N m]

# The chain, from the base: the axis of each joint, and the offset to the next one [m].
AXES = "zyxyxyx"
LINKS = tuple((length, 0.0, 0.0) for length in (0.1, 0.0, 0.4, 0.0, 0.321, 0.0, 0.16828))


class ReachReward(eqx.Module):
    """`-|tips - target|^2 - effort |action|^2`; tips is the point midway between the fingertips."""

    effort: Real = real(0.01)

    def __call__(
        self, obs: Float[Array, "17"], action: Float[Array, "7"], next_obs: Float[Array, "17"]
    ) -> Float[Array, ""]:
        gap = fingertips(next_obs[:7]) - next_obs[7:10]
        return -gap @ gap - self.effort * action @ action


def fingertips(angles: Float[Array, "7"]) -> Float[Array, "3"]:
    """The point midway between the fingertips [m]."""
    return reached(BASE, angles, LINKS)


def reached(base: Link, angles: Float[Array, "7"], links: Sequence[Link]) -> Float[Array, "3"]:
    """The end of an arm that stands on `base` [m], by forward kinematics [m]."""
    place, frame = jnp.asarray(base), jnp.eye(3)
    for axis, angle, link in zip(AXES, angles, links, strict=True):
        frame = frame @ _rotation(axis, angle)
        place = place + frame @ jnp.asarray(link, float)
    return place


class Reacher(AbstractMujocoSystem):
    """Observes joint angles, target, joint velocities. The target is fixed within a trial."""

    def __init__(self) -> None:
        self.target = np.zeros(3)
        self.set_up(arm(), reward=ReachReward(), substeps=2, steps=150, camera="view")

    def start(self, rng: np.random.Generator) -> tuple[Float[np.ndarray, "7"], Float[np.ndarray, "7"]]:
        self.target = np.array([0.0, 0.25, 0.0]) + rng.normal(0.0, 0.1, 3)
        self.model.body("target").pos[:] = self.target
        return np.zeros(7), np.zeros(7)

    def seen(self, data: "mujoco.MjData", before: "mujoco.MjData") -> Float[np.ndarray, "17"]:
        return np.concatenate([data.qpos, self.target, data.qvel])

    def state_of(self, obs: Float[Array, "17"]) -> tuple[Float[Array, "7"], Float[Array, "7"]]:
        return obs[:7], obs[10:]

    def observed(self, obs: Float[Array, "17"], q: Float[Array, "7"], v: Float[Array, "7"]) -> Float[Array, "17"]:
        return jnp.concatenate([q, obs[7:10], v])


def arm() -> "mujoco.MjModel":
    """Gymnasium's pusher without its table, with the reacher's position, limits, friction and motors."""
    import mujoco

    spec = mujoco.MjSpec.from_file(installed("pusher.xml"))
    spec.option.timestep, spec.option.integrator = 0.01, mujoco.mjtIntegrator.mjINT_RK4
    for body in ("object", "goal"):
        spec.delete(spec.body(body))
    spec.delete(spec.geom("table"))
    for geom in spec.geoms:
        geom.contype, geom.conaffinity, geom.rgba = 0, 0, STEEL
    spec.body("r_shoulder_pan_link").pos = BASE
    for joint in spec.joints:
        joint.damping = (
            [DAMPING.get(joint.name, 0.1), 0.0, 0.0] if np.ndim(joint.damping) else DAMPING.get(joint.name, 0.1)
        )
        joint.limited = mujoco.mjtLimited.mjLIMITED_FALSE if joint.name in FREE else mujoco.mjtLimited.mjLIMITED_TRUE
        joint.range = RANGES.get(joint.name, (0.0, 0.0))
    for motor in spec.actuators:
        motor.ctrlrange = (-TORQUE, TORQUE)
    target = spec.worldbody.add_body(name="target")
    target.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.03, 0, 0], rgba=AIM, contype=0, conaffinity=0)
    photographed(spec, place=(1.5, 0.9, 1.1), towards=(0.25, 0.0, 0.0))
    return spec.compile()


def reacher_7dof() -> GymnasiumEnv:
    """Returns the adapted environment.

    Source: [Chua18] appendix, and its released environment. Deviates: the target is part of the observation alone and
    not a joint of the model.
    """
    joints = [f"joint {number} [rad]" for number in range(1, 8)]
    speeds = [f"joint {number} [rad/s]" for number in range(1, 8)]
    targets = [f"target {axis} [m]" for axis in "xyz"]
    return GymnasiumEnv(Reacher(), reward=ReachReward(), terminated=never, names=(*joints, *targets, *speeds))


def _rotation(axis: str, angle: Float[Array, ""]) -> Float[Array, "3 3"]:
    c, s, one, no = jnp.cos(angle), jnp.sin(angle), jnp.ones(()), jnp.zeros(())
    rows = {
        "x": ((one, no, no), (no, c, -s), (no, s, c)),
        "y": ((c, no, s), (no, one, no), (-s, no, c)),
        "z": ((c, -s, no), (s, c, no), (no, no, one)),
    }[axis]
    return jnp.stack([jnp.stack(row) for row in rows])


INFO = TaskInfo(
    name="reacher-7dof",
    make=reacher_7dof,
    summary="an arm of seven joints brings its fingertips to a point in space (PETS's task; needs MuJoCo)",
    reference="zero action -184, random -1511, the original -48 after 18 trials",
    solved_return=-48.0,
    settings="arm",
    published=Published((200, 200, 200, 200), (2.5e-4, 5e-4, 5e-4, 5e-4, 7.5e-4), 7.5e-4, 400, 25),
    truth=simulated,
)
