"""Gymnasium's MountainCarContinuous-v0: a car too weak for its hill must first drive the other way."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.grid import Axis, TaskGrid
from handful.envs import drawing
from handful.envs.base import AbstractEnv, Frame
from handful.envs.info import PolicyPreset, TaskInfo
from handful.envs.own_equations import exact
from handful.fields import Real, real
from handful.task import Task
from handful.types import Step

GOAL = 0.45  # where the flag stands


class Arrived(eqx.Module):
    """Returns true if the car is at the flag or beyond, and does not roll back."""

    place: Real = real(GOAL)
    speed: Real = real(0.0)  # [1/step] at least

    def __call__(self, obs: Float[Array, "2"]) -> Bool[Array, ""]:
        return (obs[0] >= self.place) & (obs[1] >= self.speed)


class FlagReward(eqx.Module):
    """`prize` for the step that arrives, minus `effort` a^2 for every step, with the action as given."""

    arrived: Arrived = eqx.field(default_factory=Arrived)
    prize: Real = real(100.0)
    effort: Real = real(0.1)

    def __call__(
        self, obs: Float[Array, "2"], action: Float[Array, "1"], next_obs: Float[Array, "2"]
    ) -> Float[Array, ""]:
        return jnp.where(self.arrived(next_obs), self.prize, 0.0) - self.effort * action @ action


def _task() -> Task:
    return Task(
        reward=FlagReward(),
        low=-jnp.ones(1),
        high=jnp.ones(1),
        names=("place", "speed [1/step]"),
        dt=1 / 30,  # as Gymnasium renders it; the dynamics are per step
        horizon=999,
        terminated=Arrived(),
    )


class MountainCar(AbstractEnv):
    """Reach the flag on the hill with little effort. The state is the observation.

    >>> import jax
    >>> env = MountainCar()
    >>> state, obs = env.reset(jax.random.key(3))
    >>> state, step = env.step(jax.random.key(4), state, jnp.array([0.5]))
    >>> step.obs.shape, round(float(step.reward), 6)
    ((2,), -0.025)

    Source: Gymnasium `MountainCarContinuous-v0`. Deviates: no.
    """

    task: Task = eqx.field(default_factory=_task)
    power: Float[Array, ""] = real(0.0015)  # [1/step^2] at full action
    gravity: Float[Array, ""] = real(0.0025)  # [1/step^2] on a slope of one
    speed_limit: Float[Array, ""] = real(0.07)  # [1/step]
    track: Float[Array, "2"] = real((-1.2, 0.6))  # its ends; the left one stops the car
    start: Float[Array, "2"] = real((-0.6, -0.4))  # the start is uniform between, at rest

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        least, most = self.start
        place = jax.random.uniform(key, (), self.start.dtype, least, most)
        obs = jnp.stack([place, jnp.zeros_like(place)])
        return obs, obs

    def step(
        self, key: PRNGKeyArray, state: Float[Array, "2"], action: Float[Array, "1"]
    ) -> tuple[Float[Array, "2"], Step]:
        place, speed = state
        push = jnp.clip(action, self.task.low, self.task.high)[0]
        faster = speed + self.power * push - self.gravity * jnp.cos(3 * place)
        faster = jnp.clip(faster, -self.speed_limit, self.speed_limit)
        left, right = self.track
        further = jnp.clip(place + faster, left, right)
        stopped = jnp.where(further == left, jnp.maximum(faster, 0.0), faster)
        obs = jnp.stack([further, stopped])
        return obs, Step(obs, self.task.reward(state, action, obs), self.task.terminated(obs))

    def draw(self, obs: Float[np.ndarray, "2"]) -> Frame:
        left, right = (float(end) for end in self.track)
        place = float(obs[0])
        along = np.array([1.0, 1.35 * np.cos(3 * place)])
        along /= np.linalg.norm(along)
        above = np.array([-along[1], along[0]])
        ground = _ground(np.array([place]))[0]
        wheels = [ground + 0.045 * above + side * 0.06 * along for side in (-1, 1)]
        body = [ground + 0.095 * above + side * 0.065 * along for side in (-1, 1)]
        foot = _ground(np.array([GOAL]))[0]
        top = foot + np.array([0.0, 0.26])
        camera = drawing.follow(ground, slack=(1.0, 0.7), width=2.2)
        return drawing.render(
            camera,
            [
                *drawing.grid(camera, 0.2),
                drawing.Stroke(_ground(np.linspace(left, right, 90)), 0.025, drawing.STEEL),
                drawing.Stroke(np.stack([foot, top]), 0.015, drawing.INK),
                drawing.Box(top + np.array([0.06, -0.04]), (0.12, 0.08), 0.01, drawing.GREEN),
                drawing.Stroke(np.stack(body), 0.09, drawing.ORANGE),
                *(drawing.Disc(wheel, 0.04, drawing.INK) for wheel in wheels),
                *(drawing.Disc(wheel, 0.014, drawing.STEEL) for wheel in wheels),
            ],
        )


def _ground(places: Float[np.ndarray, "points"]) -> Float[np.ndarray, "points 2"]:
    """Points of the hill, shifted to the middle of the picture."""
    return np.stack([places + 0.3, 0.45 * np.sin(3 * places) - 0.1], axis=-1)


INFO = TaskInfo(
    name="mountain-car-continuous-v0",
    make=MountainCar,
    summary="drive a weak car up its hill by going the other way first (Gymnasium's MountainCarContinuous-v0)",
    reference="zero action 0, random -33",
    solved_return=90.0,
    preset=PolicyPreset(200_000, 0.999, num_envs=8, num_steps=128),
    grid=TaskGrid(lambda n, m: (Axis(0, n, -1.2, 0.6), Axis(1, m, -0.07, 0.07)), 2, table=(31, 31), tiles=(8, 8)),
    truth=exact,
)
