"""A trial as an animated picture, at the speed at which it happened."""

import math

import numpy as np

from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.training.film import gif

LEAST_MS = 30  # between frames: browsers slow down pictures that are much faster
MOST_FRAMES = 300


def animate(env: AbstractEnv, visited: np.ndarray) -> bytes:
    """A GIF of the observations in turn, that repeats for ever. Long and fast trials leave frames out, never time.

    Raises `InputError` where the environment's `draw` fails or gives no picture.
    """
    shown = _shown(len(visited), env.task.dt)
    try:
        frames = [env.draw(visited[index].astype(np.float32)) for index in shown]
    except Exception as error:  # a user's drawing may fail in any way, and must not take the report with it
        raise InputError(f"the environment's draw raised {type(error).__name__}: {error}") from error
    drawn = [frame for frame in frames if frame is not None]
    if len(drawn) < len(frames):
        raise InputError("the environment does not draw itself")
    return gif(drawn, shown, env.task.dt)


def _shown(count: int, dt: float) -> list[int]:
    """Which observations become frames: the first, the last, and evenly between them."""
    every = max(math.ceil(LEAST_MS / (1e3 * dt)), math.ceil(count / MOST_FRAMES))
    return np.unique(np.linspace(0, count - 1, max((count - 1) // every, 1) + 1).round().astype(int)).tolist()
