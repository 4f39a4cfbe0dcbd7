"""PETS's half-cheetah: run forward. Its returns are not comparable with Gymnasium's HalfCheetah."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo has no type stubs.

from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.info import Published, TaskInfo
from handful.envs.mujoco_system import AbstractMujocoSystem, installed, simulated
from handful.fields import Real, real
from handful.task import never

if TYPE_CHECKING:
    import mujoco

JOINTS = ("back thigh", "back shin", "back foot", "front thigh", "front shin", "front foot")


class RunReward(eqx.Module):
    """`velocity - effort |action|^2`, with the velocity over the step."""

    effort: Real = real(0.1)

    def __call__(
        self, obs: Float[Array, "18"], action: Float[Array, "6"], next_obs: Float[Array, "18"]
    ) -> Float[Array, ""]:
        return next_obs[0] - self.effort * action @ action


class HalfCheetah(AbstractMujocoSystem):
    """Observes forward velocity over the last step, positions except along the track, velocities."""

    def __init__(self) -> None:
        self.set_up(cheetah(), reward=RunReward(), substeps=5, steps=1000, camera="track")

    def start(self, rng: np.random.Generator) -> tuple[Float[np.ndarray, "9"], Float[np.ndarray, "9"]]:
        return rng.normal(0.0, 0.001, 9), rng.normal(0.0, 0.001, 9)

    def seen(self, data: "mujoco.MjData", before: "mujoco.MjData") -> Float[np.ndarray, "18"]:
        velocity = (data.qpos[0] - before.qpos[0]) / self.dt
        return np.concatenate([[velocity], data.qpos[1:], data.qvel])

    def state_of(self, obs: Float[Array, "18"]) -> tuple[Float[Array, "9"], Float[Array, "9"]]:
        return obs[:9].at[0].set(0.0), obs[9:]  # the dynamics are the same all along the track

    def observed(self, obs: Float[Array, "18"], q: Float[Array, "9"], v: Float[Array, "9"]) -> Float[Array, "18"]:
        return jnp.concatenate([q.at[0].divide(self.dt), v])


def cheetah() -> "mujoco.MjModel":
    """Gymnasium's half-cheetah, its mass set by a call, since newer MuJoCo does not read it from the file."""
    import mujoco

    spec = mujoco.MjSpec.from_file(installed("half_cheetah.xml"))
    mass, spec.compiler.settotalmass = spec.compiler.settotalmass, -1.0
    model = spec.compile()
    mujoco.mj_setTotalmass(model, mass)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def half_cheetah_pets() -> GymnasiumEnv:
    """Returns the adapted environment. Models get sine and cosine of the pitch; velocity is an output only.

    Source: [Chua18] appendix, and its released environment. Deviates: no.
    """
    positions = ["height [m]", "pitch [rad]", *(f"{joint} [rad]" for joint in JOINTS)]
    speeds = ["xdot [m/s]", "zdot [m/s]", "pitch rate [rad/s]", *(f"{joint} [rad/s]" for joint in JOINTS)]
    return GymnasiumEnv(
        HalfCheetah(),
        reward=RunReward(),
        terminated=never,
        names=("velocity [m/s]", *positions, *speeds),
        angles=(2,),
        memoryless=(0,),
    )


INFO = TaskInfo(
    name="half-cheetah-pets",
    make=half_cheetah_pets,
    summary="a two-legged cheetah runs forward in a plane (PETS's task; needs MuJoCo)",
    reference="zero action -0.2, random -302, published PETS 4205 after 50 trials",
    solved_return=4205.0,
    settings="legs",
    published=Published((200, 200, 200, 200), (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4), 1e-3, 500, 30),
    truth=simulated,
)
