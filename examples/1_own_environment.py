"""Your own system as a pure JAX environment: `handful train examples/1_own_environment.py:TwoTanks`.

A pump fills the upper of two tanks, which drains into the lower one, which drains away; hold the lower level at 0.4 m.
Pure environments run whole trials in one compiled loop, and many seeds side by side.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful import AbstractEnv, Step, Task
from handful.fields import real

GOAL = 0.4  # [m]


def reward(obs: Float[Array, "2"], action: Float[Array, "1"], next_obs: Float[Array, "2"]) -> Float[Array, ""]:
    """At most 1 a step: planner and environment both pay by it."""
    return jnp.exp(-(((next_obs[1] - GOAL) / 0.1) ** 2)) - 0.01 * action[0] ** 2


def task() -> Task:
    """What is wanted, apart from how the tanks behave."""
    return Task(
        reward=reward,
        low=jnp.array([0.0]),
        high=jnp.array([1.0]),
        names=("upper [m]", "lower [m]"),
        dt=2.0,
        horizon=100,
    )


class TwoTanks(AbstractEnv):
    """Two tanks in a cascade, each draining by Torricelli's law, with a little noise on the levels."""

    task: Task = eqx.field(default_factory=task)
    pump: Float[Array, ""] = real(0.04)  # [m/s] rise at full power
    drain: Float[Array, "2"] = real((0.035, 0.03))  # [m^0.5/s]
    noise: Float[Array, ""] = real(1e-3)  # [m]

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        levels = jax.random.uniform(key, (2,), minval=0.0, maxval=0.2)
        return levels, levels

    def step(self, key: PRNGKeyArray, state: Any, action: Float[Array, "1"]) -> tuple[Float[Array, "2"], Step]:
        power = jnp.clip(action, self.task.low, self.task.high)[0]
        out = self.drain * jnp.sqrt(state)
        change = jnp.stack([self.pump * power - out[0], out[0] - out[1]]) * self.task.dt
        levels = jnp.clip(state + change + self.noise * jax.random.normal(key, (2,)), 0.0, 1.0)
        return levels, Step(levels, self.task.reward(state, action, levels), self.task.terminated(levels))

    def draw(self, obs: Float[np.ndarray, "2"]) -> np.ndarray:
        """Two columns of water on white, with a line at the goal."""
        frame = np.full((200, 200, 3), 255, np.uint8)
        for level, left in zip(np.clip(np.nan_to_num(obs), 0.0, 1.0), (30, 120), strict=True):
            frame[200 - int(200 * level) :, left : left + 50] = (70, 130, 200)
        frame[200 - int(200 * GOAL), 110:180] = (200, 60, 60)
        return frame
