"""The torque-limited pendulum: its motor is too weak to lift the rod without swinging it first."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.grid import Axis, TaskGrid, turn
from handful.envs import drawing
from handful.envs.base import AbstractEnv, Frame
from handful.envs.info import PolicyPreset, TaskInfo
from handful.envs.own_equations import Stepped, exact, positive
from handful.fields import real
from handful.models.physics_laws import Map
from handful.models.physics_learner import PhysicsLearner
from handful.task import Task
from handful.types import Step

TORQUE_LIMIT = 2.0  # [N m]


class UprightReward(eqx.Module):
    """-(wrapped theta^2 + 0.1 thetadot^2 + 0.001 u^2), on the observation before the step and the torque applied.

    Source: Gymnasium `Pendulum-v1`. Deviates: no.
    """

    torque_limit: Float[Array, ""] = real(TORQUE_LIMIT)  # [N m]

    def __call__(
        self, obs: Float[Array, "2"], action: Float[Array, "1"], next_obs: Float[Array, "2"]
    ) -> Float[Array, ""]:
        theta, thetadot = obs
        torque = jnp.clip(action[0], -self.torque_limit, self.torque_limit)
        wrapped = (theta + jnp.pi) % (2 * jnp.pi) - jnp.pi
        return -(wrapped**2 + 0.1 * thetadot**2 + 0.001 * torque**2)


def _task() -> Task:
    return Task(
        reward=UprightReward(),
        low=jnp.array([-TORQUE_LIMIT]),
        high=jnp.array([TORQUE_LIMIT]),
        names=("theta [rad]", "thetadot [rad/s]"),
        dt=0.05,
        horizon=200,
        angles=(0,),
    )


class Pendulum(AbstractEnv):
    """Swing a rod up and hold it. theta = 0 is upright, and grows without wrapping; the state is the observation.

    >>> import jax
    >>> env = Pendulum()
    >>> state, obs = env.reset(jax.random.key(3))
    >>> state, step = env.step(jax.random.key(4), state, jnp.array([-0.7]))
    >>> step.obs.shape
    (2,)

    Source: Gymnasium `Pendulum-v1`. Deviates: the observation holds the angle, not its sine and cosine.
    """

    task: Task = eqx.field(default_factory=_task)
    mass: Float[Array, ""] = real(1.0)  # [kg] spread evenly along the rod
    length: Float[Array, ""] = real(1.0)  # [m]
    gravity: Float[Array, ""] = real(10.0)  # [m/s^2]
    speed_limit: Float[Array, ""] = real(8.0)  # [rad/s]
    start_limit: Float[Array, "2"] = real((np.pi, 1.0))  # [rad, rad/s] greatest angle and speed at the start

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        obs = self.start_limit * jax.random.uniform(key, (2,), self.start_limit.dtype, minval=-1.0)
        return obs, obs

    def step(
        self, key: PRNGKeyArray, state: Float[Array, "2"], action: Float[Array, "1"]
    ) -> tuple[Float[Array, "2"], Step]:
        theta, thetadot = state
        torque = jnp.clip(action, self.task.low, self.task.high)[0]
        inertia = self.mass * self.length**2 / 3
        weight = self.mass * self.gravity * self.length / 2 * jnp.sin(theta)
        faster = thetadot + (weight + torque) / inertia * self.task.dt
        faster = jnp.clip(faster, -self.speed_limit, self.speed_limit)
        obs = jnp.stack([theta + faster * self.task.dt, faster])
        return obs, Step(obs, self.task.reward(state, action, obs), self.task.terminated(obs))

    def draw(self, obs: Float[np.ndarray, "2"]) -> Frame:
        theta, thetadot = float(obs[0]), float(obs[1])
        length = float(self.length)
        hinge, tip = np.zeros(2), length * _direction(theta)
        # The arc shows where the rod will be in a fifth of a second, for no more than one turn.
        sweep = theta + np.linspace(0.0, np.clip(0.2 * thetadot, -2 * np.pi, 2 * np.pi), 64)
        return drawing.render(
            drawing.Camera(hinge, 3.2 * length),
            [
                *drawing.ring(hinge, length, 0.012 * length, drawing.GRID),
                *drawing.ring(np.array([0.0, length]), 0.1 * length, 0.02 * length, drawing.GREEN),
                drawing.Stroke(length * 0.7 * _direction(sweep), 0.03 * length, drawing.STEEL),
                drawing.Stroke(np.stack([hinge, tip]), 0.12 * length, drawing.ORANGE),
                drawing.Disc(hinge, 0.1 * length, drawing.INK),
                drawing.Disc(hinge, 0.04 * length, drawing.STEEL),
            ],
        )


def _direction(theta: Any) -> Float[np.ndarray, "*points 2"]:
    """The unit vector from the hinge to the tip; theta is anticlockwise from the top."""
    return np.stack([-np.sin(theta), np.cos(theta)], axis=-1)


def _physics(env: Pendulum) -> PhysicsLearner:
    return PhysicsLearner(Map(Stepped(env, dict)), positive(mass=env.mass, length=env.length))


INFO = TaskInfo(
    name="pendulum",
    make=Pendulum,
    summary="swing a rod up with a motor too weak to lift it in one go, and hold it (Gymnasium's Pendulum-v1)",
    reference="zero action and random both about -1200, about -150 can be had",  # mean of 16 starts planned by iCEM
    solved_return=-200.0,
    preset=PolicyPreset(150_000, 0.9, num_envs=4, num_steps=256, scale_imagined=False, minibatch_size=64),
    grid=TaskGrid(lambda n, m: (turn(0, n), Axis(1, m, -8.0, 8.0)), 2, table=(21, 21), tiles=(12, 12)),
    physics=_physics,
    truth=exact,
)
