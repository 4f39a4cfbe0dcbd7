"""PETS's pusher: an arm of seven joints pushes a cylinder across a table to a mark."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo has no type stubs.

from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.info import Published, TaskInfo
from handful.envs.mujoco_system import AIM, MOVED, STEEL, AbstractMujocoSystem, installed, photographed, simulated
from handful.envs.reacher_7dof import LINKS, reached
from handful.fields import Real, real
from handful.task import never

if TYPE_CHECKING:
    import mujoco

BASE = (0.0, -0.6, 0.0)  # [m] of the shoulder
TO_WRIST = (*LINKS[:-1], (0.0, 0.0, 0.0))  # the model's body named tip is the wrist
HOME = (0.45, -0.05, -0.275)  # [m] of the object with its slides at zero
GOAL = (0.45, -0.05, -0.323)  # [m]
OBJECT = (-0.25, 0.15)  # [m] mean of its slides, along y and along x, at the start of a trial


class PushReward(eqx.Module):
    """`-1.25 |object - goal|_1 - 0.5 |object - tip|_1 - 0.1 |action|^2`, distances over x, y and z."""

    goal: Float[Array, "3"] = real(GOAL)
    to_goal: Real = real(1.25)
    to_tip: Real = real(0.5)
    effort: Real = real(0.1)

    def __call__(
        self, obs: Float[Array, "20"], action: Float[Array, "7"], next_obs: Float[Array, "20"]
    ) -> Float[Array, ""]:
        tip, pushed = next_obs[14:17], next_obs[17:20]
        missing, apart = jnp.abs(pushed - self.goal).sum(), jnp.abs(pushed - tip).sum()
        return -self.to_goal * missing - self.to_tip * apart - self.effort * action @ action


class Pusher(AbstractMujocoSystem):
    """Observes joint angles, joint velocities, position of the tip, position of the object."""

    def __init__(self) -> None:
        self.set_up(table(), reward=PushReward(), substeps=4, steps=150, camera="view")

    def start(self, rng: np.random.Generator) -> tuple[Float[np.ndarray, "11"], Float[np.ndarray, "11"]]:
        pushed = np.array(OBJECT) + rng.normal(0.0, 0.025, 2)
        speed = rng.uniform(-0.005, 0.005, 7)
        return np.concatenate([np.zeros(7), pushed, np.zeros(2)]), np.concatenate([speed, np.zeros(4)])

    def seen(self, data: "mujoco.MjData", before: "mujoco.MjData") -> Float[np.ndarray, "20"]:
        places = data.body("tips_arm").xpos, data.body("object").xpos
        return np.concatenate([data.qpos[:7], data.qvel[:7], *places])

    def state_of(self, obs: Float[Array, "20"]) -> tuple[Float[Array, "11"], Float[Array, "11"]]:
        """The observation does not determine the object's velocity, which is taken as zero."""
        away = obs[17:20] - jnp.asarray(HOME)
        slides = jnp.stack([away[1], away[0]])  # along y and along x
        return jnp.concatenate([obs[:7], slides, jnp.zeros(2)]), jnp.concatenate([obs[7:14], jnp.zeros(4)])

    def observed(self, obs: Float[Array, "20"], q: Float[Array, "11"], v: Float[Array, "11"]) -> Float[Array, "20"]:
        tip, pushed = reached(BASE, q[:7], TO_WRIST), jnp.asarray(HOME).at[:2].add(q[jnp.array([8, 7])])
        return jnp.concatenate([q[:7], v[:7], tip, pushed])


def table() -> "mujoco.MjModel":
    """Gymnasium's pusher, whose shoulder turns a little further and whose object can be pushed.

    The object has no mass; its slides have an armature. Since version 3 MuJoCo derives the stiffness of a contact from
    mass alone, so the arm would pass through the object: here the armature counts too, as when the task was made.
    """
    import mujoco

    spec = mujoco.MjSpec.from_file(installed("pusher.xml"))
    spec.joint("r_shoulder_pan_joint").range = (-2.2854, 2.0)
    for geom in spec.geoms:
        geom.rgba = STEEL if geom.name != "table" else (0.6, 0.63, 0.66, 1.0)
    for body, colour in (("object", MOVED), ("goal", AIM)):
        for geom in spec.body(body).geoms:
            geom.rgba = colour
    photographed(spec, place=(0.9, 1.1, 0.9), towards=(0.4, -0.3, -0.2))
    model = spec.compile()
    inertia = model.body("object").mass + model.joint("obj_slidex").armature  # [kg] along each slide
    # MuJoCo's inverse weight in translation is the mean of three axes; the object moves along two and never turns.
    model.body_invweight0[model.body("object").id] = (2 / (3 * inertia.item()), 0.0)
    return model


def pusher_7dof() -> GymnasiumEnv:
    """Returns the adapted environment.

    Source: [Chua18] appendix, and its released environment. Deviates: the reward is of the observation after the step,
    as in the original's planner, and not of the one before; tip and object are observed at the instant of the joints,
    and not one physics step (0.01 s) earlier.
    """
    joints = [f"joint {number} [rad]" for number in range(1, 8)]
    speeds = [f"joint {number} [rad/s]" for number in range(1, 8)]
    places = [f"{what} {axis} [m]" for what in ("tip", "object") for axis in "xyz"]
    return GymnasiumEnv(Pusher(), reward=PushReward(), terminated=never, names=(*joints, *speeds, *places))


INFO = TaskInfo(
    name="pusher-7dof",
    make=pusher_7dof,
    summary="an arm of seven joints pushes a cylinder to a mark (PETS's task; needs MuJoCo)",
    reference="zero action -143, random -294, the original -79 after 18 trials",
    solved_return=-79.0,
    settings="arm",
    published=Published((200, 200, 200), (2.5e-4, 5e-4, 5e-4, 7.5e-4), 1e-3, 500, 25),
    truth=simulated,
)
