"""Gymnasium's Pendulum-v1 exactly: the same pendulum, observed as cosine, sine and speed."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.grid import Axis, TaskGrid, turn
from handful.envs import pendulum
from handful.envs.base import AbstractEnv, Frame
from handful.envs.info import TaskInfo
from handful.envs.pendulum import TORQUE_LIMIT, Pendulum, UprightReward
from handful.task import Task
from handful.types import Step


class SeenUprightReward(eqx.Module):
    """`UprightReward` of observations that hold the cosine and sine of the angle."""

    reward: UprightReward = eqx.field(default_factory=UprightReward)

    def __call__(
        self, obs: Float[Array, "3"], action: Float[Array, "1"], next_obs: Float[Array, "3"]
    ) -> Float[Array, ""]:
        return self.reward(_state(obs), action, _state(next_obs))


def _task() -> Task:
    return Task(
        reward=SeenUprightReward(),
        low=jnp.array([-TORQUE_LIMIT]),
        high=jnp.array([TORQUE_LIMIT]),
        names=("cos theta", "sin theta", "thetadot [rad/s]"),
        dt=0.05,
        horizon=200,
    )


class PendulumV1(AbstractEnv):
    """Swing a rod up and hold it; the observation holds the angle's cosine and sine.

    >>> import jax
    >>> env = PendulumV1()
    >>> state, obs = env.reset(jax.random.key(3))
    >>> state, step = env.step(jax.random.key(4), state, jnp.array([-0.7]))
    >>> state.shape, step.obs.shape
    ((2,), (3,))

    Source: Gymnasium `Pendulum-v1`. Deviates: no.
    """

    task: Task = eqx.field(default_factory=_task)
    rod: Pendulum = eqx.field(default_factory=Pendulum)

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "2"], Float[Array, "3"]]:
        state, _ = self.rod.reset(key)
        return state, _seen(state)

    def step(
        self, key: PRNGKeyArray, state: Float[Array, "2"], action: Float[Array, "1"]
    ) -> tuple[Float[Array, "2"], Step]:
        following, _ = self.rod.step(key, state, action)
        obs = _seen(following)
        return following, Step(obs, self.task.reward(_seen(state), action, obs), self.task.terminated(obs))

    def draw(self, obs: Float[np.ndarray, "3"]) -> Frame:
        return self.rod.draw(np.array([np.arctan2(obs[1], obs[0]), obs[2]]))


def _seen(state: Float[Array, "2"]) -> Float[Array, "3"]:
    return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])


def _state(obs: Float[Array, "3"]) -> Float[Array, "2"]:
    """The state, up to whole turns."""
    return jnp.stack([jnp.arctan2(obs[1], obs[0]), obs[2]])


INFO = TaskInfo(
    name="pendulum-v1",
    make=PendulumV1,
    summary="the same pendulum, its angle seen as cosine and sine (exactly Gymnasium's Pendulum-v1)",
    reference=pendulum.INFO.reference,
    solved_return=-200.0,
    # Held at an angle by its motor, the pendulum earns more than hanging down; only a discount that looks beyond the
    # duration of the swing gives that up.
    preset=dataclasses.replace(
        pendulum.INFO.preset, discount=0.97, gae_lambda=0.9, num_envs=8, num_steps=128, falling=True
    ),
    grid=TaskGrid(lambda n, m: (turn((0, 1), n), Axis(2, m, -8.0, 8.0)), 3, table=(21, 21), tiles=(12, 12)),
)
