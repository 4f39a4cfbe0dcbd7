"""Gymnasium's Acrobot-v1: two links hang from a hinge, and the joint between them swings the free end up."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.grid import Axis, TaskGrid, turn
from handful.envs import drawing
from handful.envs.base import AbstractEnv, Frame
from handful.envs.info import PolicyPreset, TaskInfo
from handful.fields import Real, real
from handful.integrator import runge_kutta
from handful.task import Task
from handful.types import Step


class Links(eqx.Module):
    """The mechanism. State (theta1, theta2, thetadot1, thetadot2); theta1 = 0 hangs, theta2 counts from link 1.

    Source: Gymnasium `Acrobot-v1`, its equations of "the book". Deviates: no.
    """

    mass: Float[Array, "2"] = real((1.0, 1.0))  # [kg]
    length: Float[Array, "2"] = real((1.0, 1.0))  # [m]
    com_distance: Float[Array, "2"] = real((0.5, 0.5))  # [m] from each link's joint to its centre of mass
    inertia: Float[Array, "2"] = real((1.0, 1.0))  # [kg m^2] about the centre of mass
    gravity: Float[Array, ""] = real(9.8)  # [m/s^2]

    def derivative(self, state: Float[Array, "4"], torque: Float[Array, ""]) -> Float[Array, "4"]:
        """Time derivative of the state under a torque at the joint [N m].

        [M1 M2; M2 M3] th'' = [c sin(th2) th2' (th2' + 2 th1') - g1 - g2; torque - c sin(th2) th1'^2 - g2]
        """
        theta1, theta2, speed1, speed2 = state
        (m1, m2), (r1, r2), l1 = self.mass, self.com_distance, self.length[0]
        c = m2 * l1 * r2
        M3 = self.inertia[1] + m2 * r2**2
        M2 = M3 + c * jnp.cos(theta2)
        M1 = self.inertia[0] + m1 * r1**2 + m2 * l1**2 + c * jnp.cos(theta2) + M2
        g1 = (m1 * r1 + m2 * l1) * self.gravity * jnp.sin(theta1)
        g2 = m2 * r2 * self.gravity * jnp.sin(theta1 + theta2)
        first = c * jnp.sin(theta2) * speed2 * (speed2 + 2 * speed1) - g1 - g2
        second = torque - c * jnp.sin(theta2) * speed1**2 - g2
        faster = jnp.stack([M3 * first - M2 * second, M1 * second - M2 * first]) / (M1 * M3 - M2**2)
        return jnp.concatenate([state[2:], faster])


class Raised(eqx.Module):
    """Returns true if the free end is more than `height` above the hinge, in lengths of a link."""

    height: Real = real(1.0)

    def __call__(self, obs: Float[Array, "6"]) -> Bool[Array, ""]:
        cos1, sin1, cos2, sin2 = obs[:4]
        return -cos1 - (cos1 * cos2 - sin1 * sin2) > self.height


class Hurry(eqx.Module):
    """-1 per step until the free end is up, 0 for the step that brings it up."""

    raised: Raised = eqx.field(default_factory=Raised)

    def __call__(
        self, obs: Float[Array, "6"], action: Float[Array, "3"], next_obs: Float[Array, "6"]
    ) -> Float[Array, ""]:
        return jnp.where(self.raised(next_obs), 0.0, -1.0)


def _task() -> Task:
    return Task(
        reward=Hurry(),
        low=jnp.zeros(3),
        high=jnp.ones(3),
        names=("cos theta1", "sin theta1", "cos theta2", "sin theta2", "thetadot1 [rad/s]", "thetadot2 [rad/s]"),
        dt=0.2,
        horizon=500,
        terminated=Raised(),
        categorical=True,
    )


class Acrobot(AbstractEnv):
    """Swing the free end up as soon as possible; the observation holds the angles' cosines and sines.

    An action is a category: a torque one way, none, or the other way.

    >>> import jax
    >>> env = Acrobot()
    >>> state, obs = env.reset(jax.random.key(3))
    >>> none = jnp.array([0.0, 1.0, 0.0])
    >>> state, step = env.step(jax.random.key(4), state, none)
    >>> step.obs.shape, float(step.reward)
    ((6,), -1.0)

    Source: Gymnasium `Acrobot-v1`. Deviates: no.
    """

    task: Task = eqx.field(default_factory=_task)
    links: Links = eqx.field(default_factory=Links)
    torques: Float[Array, "3"] = real((-1.0, 0.0, 1.0))  # [N m] of each category
    speed_limit: Float[Array, "2"] = real((4 * np.pi, 9 * np.pi))  # [rad/s]
    start_limit: Float[Array, "4"] = real((0.1, 0.1, 0.1, 0.1))  # [rad, rad/s] the start is uniform within

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "4"], Float[Array, "6"]]:
        state = self.start_limit * jax.random.uniform(key, (4,), self.start_limit.dtype, minval=-1.0)
        return state, _seen(state)

    def step(
        self, key: PRNGKeyArray, state: Float[Array, "4"], action: Float[Array, "3"]
    ) -> tuple[Float[Array, "4"], Step]:
        torque = self.torques[jnp.argmax(action)]
        moved = runge_kutta(lambda now: self.links.derivative(now, torque), state, self.task.dt, 1)
        angles = (moved[:2] + jnp.pi) % (2 * jnp.pi) - jnp.pi  # whole turns would cost float32 precision
        following = jnp.concatenate([angles, jnp.clip(moved[2:], -self.speed_limit, self.speed_limit)])
        obs = _seen(following)
        return following, Step(obs, self.task.reward(_seen(state), action, obs), self.task.terminated(obs))

    def draw(self, obs: Float[np.ndarray, "6"]) -> Frame:
        theta1 = np.arctan2(float(obs[1]), float(obs[0]))
        theta2 = np.arctan2(float(obs[3]), float(obs[2]))
        first, second = (float(length) for length in self.links.length)
        hinge = np.zeros(2)
        joint = hinge + first * _direction(theta1)
        tip = joint + second * _direction(theta1 + theta2)
        reach = first + second
        goal = np.array([[-1.05 * reach, first], [1.05 * reach, first]])
        return drawing.render(
            drawing.Camera(hinge, 3.1 * reach),
            [
                *drawing.ring(hinge, reach, 0.012 * reach, drawing.GRID),
                drawing.Stroke(goal, 0.02 * reach, drawing.GREEN),
                drawing.Stroke(np.stack([hinge, joint]), 0.08 * reach, drawing.BLUE),
                drawing.Stroke(np.stack([joint, tip]), 0.08 * reach, drawing.ORANGE),
                drawing.Disc(hinge, 0.055 * reach, drawing.INK),
                drawing.Disc(hinge, 0.022 * reach, drawing.STEEL),
                drawing.Disc(joint, 0.04 * reach, drawing.INK),
            ],
        )


def _seen(state: Float[Array, "4"]) -> Float[Array, "6"]:
    cos, sin = jnp.cos(state[:2]), jnp.sin(state[:2])
    return jnp.concatenate([jnp.stack([cos, sin], 1).ravel(), state[2:]])


def _direction(theta: float) -> Float[np.ndarray, "2"]:
    """The unit vector along a link; its angle is anticlockwise from hanging."""
    return np.array([np.sin(theta), -np.cos(theta)])


def _axes(theta1: int, theta2: int, speed1: int, speed2: int) -> tuple[Axis, ...]:
    """Two turns, and speeds that a good trial hardly ever exceeds."""
    return turn((0, 1), theta1), turn((2, 3), theta2), Axis(4, speed1, -6.0, 6.0), Axis(5, speed2, -10.0, 10.0)


INFO = TaskInfo(
    name="acrobot-v1",
    make=Acrobot,
    summary="swing the free end of two links above a line, by a torque between them (Gymnasium's Acrobot-v1)",
    reference="the same torque always -500, random -499",
    solved_return=-100.0,
    preset=PolicyPreset(
        500_000, num_envs=16, num_steps=64, scale_rewards=False, scale_imagined=False, exploration_steps=50_000
    ),
    grid=TaskGrid(_axes, 6, table=(12, 12, 10, 10), tiles=(6, 6, 6, 6)),
)
