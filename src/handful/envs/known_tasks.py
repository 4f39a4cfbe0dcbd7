"""Gymnasium's tasks whose reward, termination and observation are known and need not be learned.

Weights and limits are read from the environment where it holds them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
from gymnasium.envs.registration import EnvSpec

from handful.envs.info import PolicyPreset
from handful.envs.known_rewards import Hang, Outside, Push, Reach, Run, Upright
from handful.task import Reward, Terminated, never

TRANSPARENT = (  # wrappers that leave observations, rewards and ends as they are
    gymnasium.wrappers.OrderEnforcing,
    gymnasium.wrappers.PassiveEnvChecker,
    gymnasium.wrappers.RecordEpisodeStatistics,
    gymnasium.wrappers.TimeLimit,
)


@dataclass(frozen=True)
class KnownTask:
    """One of Gymnasium's tasks; its reward and termination are built from the environment's own constants."""

    names: tuple[str, ...]  # of the environment's own entries, then of those from `info`
    reward: Callable[[Any], Reward]
    terminated: Callable[[Any], Terminated] = lambda env: never
    angles: tuple[int, ...] = ()
    info: tuple[str, ...] = ()  # entries of a step's info that the reward needs
    settings: str = "light"  # and the preset: as in `TaskInfo`; a task that we have a port of takes the port's
    preset: PolicyPreset = field(default_factory=PolicyPreset)

    def given(self, env: Any) -> dict[str, Any]:
        """Returns the arguments of the adapter for this environment."""
        return {
            "reward": self.reward(env),
            "terminated": self.terminated(env),
            "names": self.names,
            "angles": self.angles,
            "info": self.info,
        }

    def under_another_reward(self, env: Any) -> dict[str, Any]:
        """Returns what stays known where a reward of the user's own replaces the environment's."""
        own = len(self.names) - len(self.info)
        return {"terminated": self.terminated(env), "names": self.names[:own], "angles": self.angles}


def _read(env: Any, *names: str) -> tuple[Any, ...]:
    """Returns constants that the environment keeps under private names."""
    return tuple(getattr(env.unwrapped, f"_{name}") for name in names)


def _outside(size: int, intervals: list[tuple[int | slice, tuple[float, float]]]) -> Outside:
    """Entries without an interval are unbounded; those with several must be inside all."""
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    for entries, (least, most) in intervals:
        low[entries], high[entries] = np.maximum(low[entries], least), np.minimum(high[entries], most)
    return Outside(jnp.asarray(low, float), jnp.asarray(high, float))


def _survival(fallen: Callable[[Any], Outside], *, last: float) -> Callable[[Any], Upright]:
    return lambda env: Upright(fallen(env), ending=last)


def _tilted(env: Any) -> Outside:
    return _outside(4, [(1, (-0.2, 0.2))])


def _off_track(env: Any) -> Outside:
    place, angle = env.unwrapped.x_threshold, env.unwrapped.theta_threshold_radians
    return _outside(4, [(0, (-place, place)), (2, (-angle, angle))])


def _hopper_down(env: Any) -> Outside:
    """Gymnasium bounds speeds by 100 but shows them clipped to 10, so the observation does not determine that bound."""
    height, angle, rest = _read(env, "healthy_z_range", "healthy_angle_range", "healthy_state_range")
    return _outside(11, [(0, height), (1, angle), (slice(1, 11), rest)])


def _walker_down(env: Any) -> Outside:
    height, angle = _read(env, "healthy_z_range", "healthy_angle_range")
    return _outside(17, [(0, height), (1, angle)])


def _run(env: Any) -> Run:
    return Run(*_read(env, "forward_reward_weight", "ctrl_cost_weight"))


def _healthy_run(down: Callable[[Any], Outside]) -> Callable[[Any], Run]:
    weights = ("forward_reward_weight", "ctrl_cost_weight", "healthy_reward")
    return lambda env: Run(*_read(env, *weights), unhealthy=down(env))


def _body(*joints: str) -> tuple[str, ...]:
    """Names for a body in a plane: height, pitch and joints; all speeds; the mean forward velocity."""
    positions = ["height [m]", "pitch [rad]", *(f"{joint} [rad]" for joint in joints)]
    speeds = ["xdot [m/s]", "zdot [m/s]", "pitch rate [rad/s]", *(f"{joint} [rad/s]" for joint in joints)]
    return (*positions, *speeds, VELOCITY)


def _each(unit: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{name} [{unit}]" for name in names)


VELOCITY = "velocity [m/s]"
LEG = ("thigh", "leg", "foot")
ARM = tuple(f"joint {number}" for number in range(1, 8))

RUNNER = PolicyPreset(1_000_000, num_envs=8, num_steps=256, learning_rate=3e-4, minibatch_size=64, trpo_batch=2048)

KNOWN = {
    "InvertedPendulum-v5": KnownTask(
        names=("x [m]", "theta [rad]", "xdot [m/s]", "thetadot [rad/s]"),
        reward=_survival(_tilted, last=0.0),
        terminated=_tilted,
        # Only long batches distinguish a policy that drifts to the rail's end within 1000 steps from one that does not.
        preset=replace(RUNNER, steps=500_000, trpo_batch=8192, falling=True),
    ),
    "CartPole-v1": KnownTask(
        names=("x [m]", "xdot [m/s]", "theta [rad]", "thetadot [rad/s]"),
        reward=_survival(_off_track, last=1.0),
        terminated=_off_track,
    ),
    "Pendulum-v1": KnownTask(names=("cos theta", "sin theta", "thetadot [rad/s]"), reward=lambda env: Hang()),
    "Reacher-v5": KnownTask(
        names=(
            *(f"{function} joint {number}" for function in ("cos", "sin") for number in (1, 2)),
            *_each("m", "target x", "target y"),
            *_each("rad/s", "joint 1", "joint 2"),
            *_each("m", "tip - target x", "tip - target y"),
        ),
        reward=lambda env: Reach(*_read(env, "reward_dist_weight", "reward_control_weight")),
    ),
    "Pusher-v5": KnownTask(
        names=(
            *_each("rad", *ARM),
            *_each("rad/s", *ARM),
            *_each("m", *(f"{what} {axis}" for what in ("tip", "object", "goal") for axis in "xyz")),
        ),
        reward=lambda env: Push(*_read(env, "reward_near_weight", "reward_dist_weight", "reward_control_weight")),
        settings="arm",
    ),
    "HalfCheetah-v5": KnownTask(
        names=_body(*(f"{place} {part}" for place in ("back", "front") for part in ("thigh", "shin", "foot"))),
        reward=_run,
        angles=(1,),
        info=("x_velocity",),
        settings="legs",
        preset=RUNNER,
    ),
    "Hopper-v5": KnownTask(
        names=_body(*LEG),
        reward=_healthy_run(_hopper_down),
        terminated=_hopper_down,
        angles=(1,),
        info=("x_velocity",),
        settings="legs",
        preset=RUNNER,
    ),
    "Walker2d-v5": KnownTask(
        names=_body(*(f"{side} {part}" for side in ("right", "left") for part in LEG)),
        reward=_healthy_run(_walker_down),
        terminated=_walker_down,
        angles=(1,),
        info=("x_velocity",),
        settings="legs",
        preset=RUNNER,
    ),
    "Swimmer-v5": KnownTask(
        names=(
            *_each("rad", "heading", "joint 1", "joint 2"),
            *_each("m/s", "xdot", "ydot"),
            *_each("rad/s", "heading rate", "joint 1", "joint 2"),
            VELOCITY,
        ),
        reward=_run,
        angles=(0,),
        info=("x_velocity",),
        settings="legs",
        preset=replace(RUNNER, discount=0.9999),
    ),
}
BY_IDENTITY = {identity.lower(): known for identity, known in KNOWN.items()}


def known_of(env: gymnasium.Env) -> KnownTask | None:
    """Returns what is known of an environment, if it is one of these tasks as `gymnasium.make` returns it."""
    return KNOWN.get(identity) if (identity := plain_id(env)) else None


def plain_id(env: gymnasium.Env) -> str:
    """Returns the id of an environment that is as `gymnasium.make` returns it without options, and otherwise ""."""
    spec = env.spec if is_bare(env) else None
    return spec.id if isinstance(spec, EnvSpec) and set(spec.kwargs) <= {"render_mode"} else ""


def is_bare(env: gymnasium.Env) -> bool:
    """Returns true if no wrapper changes observations, rewards or ends."""
    while isinstance(env, gymnasium.Wrapper):
        if type(env) not in TRANSPARENT:
            return False
        env = env.env
    return True
