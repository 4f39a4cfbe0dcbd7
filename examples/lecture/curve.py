"""Regression in one dimension put as dynamics, for the examples beside this file: next_obs - obs = y(action)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful import Dataset, Task, Transition


def curve_task() -> Task:
    """Observation: where y arrives, from zero. Action: x."""
    limits = jnp.array([2.5])
    return Task(
        reward=lambda obs, action, next_obs: next_obs[0], low=-limits, high=limits, names=("y",), dt=1.0, horizon=1
    )


def curve_data(
    key: PRNGKeyArray, *, noise: Callable[[Float[Array, "b"]], Float[Array, "b"]], rows: int = 240
) -> tuple[Dataset, tuple[np.ndarray, np.ndarray]]:
    """Rows of y = sin(3x) + noise(x) on -1.5..-0.5 and 0.5..1.5, as a dataset and as (x, y)."""
    where, side, draw = jax.random.split(key, 3)
    x = jnp.sign(jax.random.uniform(side, (rows,)) - 0.5) * jax.random.uniform(where, (rows,), minval=0.5, maxval=1.5)
    y = jnp.sin(3 * x) + noise(x) * jax.random.normal(draw, (rows,))
    no = jnp.zeros(rows, bool)
    zero = jnp.zeros((rows, 1))
    data = Dataset.empty(curve_task(), rows).add(Transition(zero, x[:, None], y, y[:, None], no, no), trial=0)
    return data, (np.asarray(x), np.asarray(y))
