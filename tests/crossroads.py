"""A tiny task of two steps that asks for everything a learner must get right, and whose values are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.envs.base import AbstractEnv
from handful.task import Task
from handful.types import Step
from probes import task_of

DISCOUNT = 0.6


def reward(obs, action, next_obs):
    """The first step, from place 0, pays nothing; the second pays what the first one led to."""
    return jnp.sign(obs[1])


def terminated(obs):
    return jnp.abs(obs[1]) > 1.5


def crossroads(*, categorical: bool) -> Task:
    low, high = ([0.0, 0.0], [1.0, 1.0]) if categorical else ([-1.0, -0.8], [1.5, 0.4])
    settings = {"horizon": 2, "terminated": terminated, "categorical": categorical, "discount": DISCOUNT}
    return task_of(reward, 2, low, high, **settings)


class Crossroads(AbstractEnv):
    """Seen are the kind of trial, -1 or 1, and the place, 0 at the start.

    The first action leads to place 1 where it goes the way of the kind, else to -1. The second, whatever it is, pays
    the place; kind 1 then terminates at twice the place, and kind -1 stays there while its time runs out.
    """

    task: Task = eqx.field(default_factory=lambda: crossroads(categorical=True))

    def reset(self, key):
        kind = jnp.where(jax.random.bernoulli(key), 1.0, -1.0)
        obs = jnp.stack([kind, jnp.zeros(())])
        return obs, obs

    def step(self, key, state: Float[Array, "2"], action: Float[Array, "a"]):
        kind, place = state
        right = (action[0] - action[1] > 0.2) == (kind > 0)
        after = jnp.where(place == 0, jnp.where(right, 1.0, -1.0), place * jnp.where(kind > 0, 2.0, 1.0))
        obs = jnp.stack([kind, after])
        return obs, Step(obs, self.task.reward(state, action, obs), self.task.terminated(obs))


# What there is to see where the best is done, and what it is worth: 1 and nothing more where the trial terminates,
# 1 / (1 - discount) where only its time runs out.
OBS = jnp.array([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [-1.0, 1.0]])
ENDLESS = 1 / (1 - DISCOUNT)
VALUES = (DISCOUNT, 1.0, DISCOUNT * ENDLESS, ENDLESS)
