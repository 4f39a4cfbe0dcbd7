"""How to act when nothing is known."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.planning.noise import coloured
from handful.policies.base import AbstractPolicy
from handful.policies.simple import OpenLoop, UniformPolicy
from handful.task import Task


def explorer(key: PRNGKeyArray, task: Task, colour: Float[Array, ""] | float | None) -> AbstractPolicy:
    """Uniform actions; or, with a colour, Gaussian ones with spectrum `f^-colour`, which move the system further.

    The Gaussian's std is half the half-range. Categories are drawn alike and independently, whatever the colour: in one
    trial of coloured ones a category may hardly occur.
    """
    if colour is None or task.categorical:
        return UniformPolicy.of(task)
    noise = coloured(key, (1, task.horizon, task.action_size), jnp.asarray(colour))[0]
    middle, half_range = (task.high + task.low) / 2, (task.high - task.low) / 2
    return OpenLoop(jnp.clip(middle + 0.5 * half_range * noise, task.low, task.high))
