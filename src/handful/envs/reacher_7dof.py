"""PETS's reacher: an arm of seven joints brings its fingertips to a point in space."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo has no type stubs.

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.info import Published, TaskInfo
from handful.envs.mujoco_system import AIM, STEEL, AbstractMujocoSystem, photographed, simulated
from handful.fields import Real, real
from handful.task import never

if TYPE_CHECKING:
    import mujoco

Point = tuple[float, float, float]
Solid = tuple[Point, Point, float]  # a capsule from end to end with a radius, or a sphere where the ends are one [m]

BASE = (0.0, -0.188, 0.0)  # [m] of the shoulder
TORQUE = 20.0  # [N m] at most, of each motor
ARMATURE = 0.04  # [kg m^2] of each joint
DENSITY = 1000.0  # [kg/m^3] of every solid
AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}


class Joint(NamedTuple):
    """A joint, and the solids that turn with it, in its frame at angle zero."""

    name: str
    axis: str
    damping: float  # [N m s/rad]
    limits: tuple[float, float] | None  # [rad]; None where it turns freely
    solids: tuple[Solid, ...]


SHOULDER = (
    ((0.0, 0.0, -0.4), (0.0, 0.0, 0.2), 0.1),
    *(((x, y, 0.2), (x, y, 0.2), radius) for x in (-0.06, 0.06) for y, radius in ((0.05, 0.05), (0.09, 0.03))),
)
UPPER_ARM = (((-0.1, 0.0, 0.0), (0.1, 0.0, 0.0), 0.02), ((0.0, 0.0, 0.0), (0.4, 0.0, 0.0), 0.06))
FOREARM = (((-0.1, 0.0, 0.0), (0.1, 0.0, 0.0), 0.02), ((0.0, 0.0, 0.0), (0.321, 0.0, 0.0), 0.05))
HAND = (
    ((-0.02, 0.0, 0.0), (0.02, 0.0, 0.0), 0.01),
    ((0.05, 0.0, -0.02), (0.05, 0.0, 0.02), 0.05),  # the palm
    *(((0.07691, side * 0.03, 0.0), (0.16828, side * 0.03495, 0.0), 0.01) for side in (1, -1)),  # fingers
    *(((0.16828, side * 0.03495, 0.0), (0.25965, side * 0.03495, 0.0), 0.01) for side in (1, -1)),  # their tips
)
JOINTS = (  # from the base
    Joint("shoulder_pan", "z", 10.0, (-2.2854, 1.714602), SHOULDER),
    Joint("shoulder_lift", "y", 10.0, (-0.5236, 1.3963), (((0.0, -0.1, 0.0), (0.0, 0.1, 0.0), 0.1),)),
    Joint("upper_arm_roll", "x", 0.1, (-3.9, 0.8), UPPER_ARM),
    Joint("elbow_flex", "y", 1.0, (-2.3213, 0.0), (((0.0, -0.02, 0.0), (0.0, 0.02, 0.0), 0.06),)),
    Joint("forearm_roll", "x", 0.1, None, FOREARM),
    Joint("wrist_flex", "y", 0.1, (-2.094, 0.0), (((0.0, -0.02, 0.0), (0.0, 0.02, 0.0), 0.01),)),
    Joint("wrist_roll", "x", 0.1, None, HAND),
)
LINKS = tuple((length, 0.0, 0.0) for length in (0.1, 0.0, 0.4, 0.0, 0.321, 0.0, 0.16828))  # [m] from each to the next


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


def reached(base: Point, angles: Float[Array, "7"], links: Sequence[Point]) -> Float[Array, "3"]:
    """The end of an arm that stands on `base` [m], by forward kinematics [m]."""
    place, frame = jnp.asarray(base), jnp.eye(3)
    for joint, angle, link in zip(JOINTS, angles, links, strict=True):
        frame = frame @ _rotation(joint.axis, angle)
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
    """The published arm, without contacts and without gravity, and a target beside it."""
    import mujoco

    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep, spec.option.integrator = 0.01, mujoco.mjtIntegrator.mjINT_RK4
    spec.option.gravity, spec.option.iterations = (0.0, 0.0, 0.0), 20
    body = spec.worldbody
    for joint, place in zip(JOINTS, (BASE, *LINKS), strict=False):  # the last link leads to the fingertips
        body = body.add_body(name=f"r_{joint.name}_link", pos=place)
        hinge = body.add_joint(name=f"r_{joint.name}_joint", axis=AXES[joint.axis], armature=ARMATURE)
        hinge.damping = [joint.damping, 0.0, 0.0] if np.ndim(hinge.damping) else joint.damping
        if joint.limits is not None:
            hinge.limited, hinge.range = mujoco.mjtLimited.mjLIMITED_TRUE, joint.limits
        for solid in joint.solids:
            _add_solid(body, solid)
        motor = spec.add_actuator(name=joint.name, target=hinge.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.ctrllimited, motor.ctrlrange = mujoco.mjtLimited.mjLIMITED_TRUE, (-TORQUE, TORQUE)
    target = spec.worldbody.add_body(name="target")
    target.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.03, 0, 0], mass=0, rgba=AIM, contype=0, conaffinity=0)
    spec.worldbody.add_light(pos=(0.0, 0.0, 3.0), dir=(0.0, 0.0, -1.0), diffuse=(0.5, 0.5, 0.5))
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


def _add_solid(body: Any, solid: Solid) -> None:
    import mujoco

    start, end, radius = solid
    capsule = {"type": mujoco.mjtGeom.mjGEOM_CAPSULE, "fromto": (*start, *end)}
    shape = capsule if start != end else {"type": mujoco.mjtGeom.mjGEOM_SPHERE, "pos": start}
    body.add_geom(**shape, size=[radius, 0, 0], density=DENSITY, contype=0, conaffinity=0, rgba=STEEL)


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
