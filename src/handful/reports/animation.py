"""A trial as an animated picture, in real time."""

import math

import numpy as np

from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.training.film import gif

LEAST_MS = 30  # between frames: browsers slow down pictures that are much faster
MOST_FRAMES = 300


def animate(env: AbstractEnv, visited: np.ndarray) -> bytes:
    """A GIF of the observations in turn, repeated for ever. Long and fast trials leave frames out, never time.

    Raises `InputError` where the environment's `draw` fails or returns no picture.
    """
    every = max(math.ceil(LEAST_MS / (1e3 * env.task.dt)), math.ceil(len(visited) / MOST_FRAMES))
    last = len(visited) - 1
    shown = np.unique(np.linspace(0, last, max(last // every, 1) + 1).round().astype(int)).tolist()
    try:
        frames = [env.draw(visited[index].astype(np.float32)) for index in shown]
    except Exception as error:  # a user's drawing may fail in any way, and must not take the report with it
        raise InputError(f"the environment's draw raised {type(error).__name__}: {error}") from error
    drawn = [frame for frame in frames if frame is not None]
    if len(drawn) < len(frames):
        raise InputError("the environment does not draw itself")
    return gif(drawn, shown, env.task.dt)
