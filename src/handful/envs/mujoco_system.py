"""A system that MuJoCo simulates, as a Gymnasium environment: its model, initial states and observations."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo has no type stubs.

import importlib.util
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import gymnasium
import numpy as np
from jaxtyping import Array, Float

from handful.envs.mujoco_rollouts import MujocoStep, Rollouts
from handful.models.known import KnownDynamics, KnownLearner
from handful.task import Reward

if TYPE_CHECKING:
    import mujoco
    from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

WIDTH, HEIGHT = 480, 320  # [pixels] of a picture
AIM, MOVED, STEEL = (0.25, 0.56, 0.4, 1.0), (0.9, 0.49, 0.2, 1.0), (0.55, 0.61, 0.66, 1.0)  # colours


class AbstractMujocoSystem(gymnasium.Env, ABC):
    """`substeps` simulation steps per control step under constant torques, with the reward that planners use.

    A subclass gives initial states, observations, the state at an observation and the observation of a next state.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 -- Gymnasium declares it so
    render_mode = "rgb_array"

    def set_up(self, model: "mujoco.MjModel", *, reward: Reward, substeps: int, steps: int, camera: str) -> None:
        """Set the model and the spaces. The constructor of a subclass calls it."""
        import mujoco

        self.model, self.data, self._before = model, mujoco.MjData(model), mujoco.MjData(model)
        self.substeps, self.max_episode_steps, self.camera = substeps, steps, camera
        low, high = model.actuator_ctrlrange.T
        self.action_space = gymnasium.spaces.Box(low, high, dtype=np.float64)
        size = self.seen(self.data, self.data).size
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self._paid: Any = eqx.filter_jit(reward)
        self.mujoco_renderer: MujocoRenderer | None = None
        model.vis.quality.offsamples, model.light_castshadow[:] = 0, False  # a tenth of the time without a GPU

    @property
    def dt(self) -> float:
        """The duration of a control step [s]."""
        return self.model.opt.timestep * self.substeps

    @abstractmethod
    def start(self, rng: np.random.Generator) -> tuple[Float[np.ndarray, "q"], Float[np.ndarray, "v"]]:
        """Returns positions and velocities at the start of a trial."""

    @abstractmethod
    def seen(self, data: "mujoco.MjData", before: "mujoco.MjData") -> Float[np.ndarray, "o"]:
        """Returns the observation; `before` is the state before the last control step."""

    @abstractmethod
    def state_of(self, obs: Float[Array, "o"]) -> tuple[Float[Array, "q"], Float[Array, "v"]]:
        """Returns positions and velocities at an observation; zero where it does not determine them."""

    @abstractmethod
    def observed(self, obs: Float[Array, "o"], q: Float[Array, "q"], v: Float[Array, "v"]) -> Float[Array, "o"]:
        """Returns the observation of positions and velocities one control step after `obs`."""

    def true_step(self) -> MujocoStep:
        """Returns the control step as a function of observation and action, for planning with the true dynamics."""
        return MujocoStep(self.state_of, self.observed, Rollouts(self.model, self.substeps))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Float[np.ndarray, "o"], dict]:
        import mujoco

        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = self.start(self.np_random)
        mujoco.mj_forward(self.model, self.data)
        self._obs = self.seen(self.data, self.data)
        return self._obs, {}

    def step(self, action: Float[np.ndarray, "a"]) -> tuple[Float[np.ndarray, "o"], float, bool, bool, dict]:
        import mujoco

        obs = self._obs
        mujoco.mj_copyData(self._before, self.model, self.data)
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, nstep=self.substeps)
        mujoco.mj_forward(self.model, self.data)  # positions of bodies lag behind the joints otherwise
        self._obs = self.seen(self.data, self._before)
        reward = float(self._paid(obs, action, self._obs))
        return self._obs, reward, False, False, {}

    def render(self) -> np.ndarray:
        from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

        self.mujoco_renderer = self.mujoco_renderer or MujocoRenderer(
            self.model, self.data, width=WIDTH, height=HEIGHT, camera_name=self.camera
        )
        return np.asarray(self.mujoco_renderer.render(self.render_mode))

    def close(self) -> None:
        if self.mujoco_renderer is not None:
            self.mujoco_renderer.close()
            self.mujoco_renderer = None


def photographed(spec: Any, *, place: tuple[float, ...], towards: tuple[float, ...]) -> None:
    """Add a bright sky, and a camera named "view" that looks from `place` [m] at `towards` [m]."""
    import mujoco

    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=[0.97, 0.98, 0.99],
        rgb2=[0.97, 0.98, 0.99],
        width=16,
        height=96,
    )
    spec.visual.headlight.ambient = [0.4, 0.4, 0.4]
    spec.worldbody.add_body(name="seen", pos=towards)
    spec.worldbody.add_camera(
        name="view", pos=place, mode=mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY, targetbody="seen", fovy=40
    )


def installed(name: str) -> str:
    """Returns the path of a model file that Gymnasium ships."""
    spec = importlib.util.find_spec("gymnasium.envs.mujoco")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    return str(folder / "assets" / name)


def simulated(env: Any) -> KnownLearner:
    """The true dynamics of an adapted `AbstractMujocoSystem`."""
    return KnownLearner(KnownDynamics(env.env.unwrapped.true_step()))
