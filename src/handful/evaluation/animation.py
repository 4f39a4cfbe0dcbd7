"""A trial as an animated picture, at the speed at which it happened."""

import io
import itertools
import math

import numpy as np
from PIL import Image

from handful.envs.base import AbstractEnv, Frame
from handful.errors import InputError

LEAST_MS = 30  # between frames: browsers slow down pictures that are much faster
MOST_FRAMES = 300
WIDEST = 480  # [px]
COLOURS = 128
LINGER_MS = 1000  # on the last frame, so that one sees where it begins again


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
    return _gif(drawn, _durations(shown, env.task.dt))


def _shown(count: int, dt: float) -> list[int]:
    """Which observations become frames: the first, the last, and evenly between them."""
    every = max(math.ceil(LEAST_MS / (1e3 * dt)), math.ceil(count / MOST_FRAMES))
    return np.unique(np.linspace(0, count - 1, max((count - 1) // every, 1) + 1).round().astype(int)).tolist()


def _durations(shown: list[int], dt: float) -> list[int]:
    """Milliseconds of each frame, in the format's hundredths of a second, without drift."""
    at = [10 * round(1e2 * dt * index) for index in shown]
    return [*(after - before for before, after in itertools.pairwise(at)), LINGER_MS]


def _gif(frames: list[Frame], durations: list[int]) -> bytes:
    images = [_small(Image.fromarray(frame)) for frame in frames]
    # One palette for all, from a few of them, is fast and does not flicker.
    sample = images[:: max(1, len(images) // 10)]
    palette = Image.fromarray(np.concatenate([np.asarray(image) for image in sample])).quantize(COLOURS)
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = io.BytesIO()
    indexed[0].save(
        buffer, "GIF", save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=False, disposal=1
    )
    return buffer.getvalue()


def _small(image: Image.Image) -> Image.Image:
    if image.width <= WIDEST:
        return image
    return image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.BOX)
