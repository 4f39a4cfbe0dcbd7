"""A trial in moving pictures: taken while it happens, since a real system cannot be put back to be drawn."""

import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from handful.envs.base import Frame
from handful.training.files import write_whole
from handful.training.run import Row

MOST_FRAMES = 100  # of a trial on the host
WIDEST = 480  # [px]
COLOURS = 128
LINGER_MS = 1000  # on the last frame, so that one sees where it begins again


class Film:
    """Frames evenly over the longest that a trial can last, and its last step."""

    def __init__(self, horizon: int) -> None:
        self.every = math.ceil(horizon / (MOST_FRAMES - 1))  # [steps]
        self.times: list[int] = []  # [steps] of the frames
        self.frames: list[Frame] = []

    def wants(self, time: int, *, over: bool) -> bool:
        """True if a frame of this step is due."""
        return (over or time % self.every == 0) and time not in self.times[-1:]

    def add(self, time: int, frame: Frame) -> None:
        """Take a frame in, unless the camera has changed its size on the way."""
        small = shrunk(frame)
        if not self.frames or small.shape == self.frames[0].shape:
            self.times.append(time)
            self.frames.append(small)


def keep_film(folder: Path, film: Film | None, rows: Sequence[Row], dt: float) -> None:
    """Write the film of the trial that `rows` end with, and let go of those of all others but the best.

    Raises `InputError` where the folder cannot be written.
    """
    last = rows[-1].trial
    best = max(rows, key=lambda row: row.return_ if math.isfinite(row.return_) else -math.inf).trial
    if film is not None and film.frames:
        write_whole(film_path(folder, last), gif(film.frames, film.times, dt))
    for old in film_path(folder, last).parent.glob("trial-*.gif"):
        if old not in {film_path(folder, trial) for trial in (best, last)}:
            old.unlink(missing_ok=True)


def film_path(folder: Path, trial: int) -> Path:
    """The path of a trial's film in a run folder."""
    return folder / "videos" / f"trial-{trial:03d}.gif"


def gif(frames: Sequence[Frame], times: Sequence[int], dt: float) -> bytes:
    """A GIF of frames of equal size at their times [steps], as fast as it happened, that repeats for ever."""
    images = [Image.fromarray(shrunk(frame)) for frame in frames]
    # One palette for all, from a few of them, is fast and does not flicker.
    sample = images[:: max(1, len(images) // 10)]
    palette = Image.fromarray(np.concatenate([np.asarray(image) for image in sample])).quantize(COLOURS)
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = io.BytesIO()
    settings = {"save_all": True, "append_images": indexed[1:], "loop": 0, "optimize": False, "disposal": 1}
    at = [10 * round(1e2 * dt * time) for time in times]  # [ms], in the format's hundredths of a second, without drift
    durations = [*(after - before for before, after in itertools.pairwise(at)), LINGER_MS]
    indexed[0].save(buffer, "GIF", duration=durations, **settings)
    return buffer.getvalue()


def shrunk(frame: Frame) -> UInt8[np.ndarray, "h w 3"]:
    """The frame, no wider than `WIDEST`."""
    height, width, _ = frame.shape
    if width <= WIDEST:
        return frame
    return np.asarray(Image.fromarray(frame).resize((WIDEST, round(height * WIDEST / width)), Image.Resampling.BOX))
