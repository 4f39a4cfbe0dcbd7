"""The best trial of a run as a moving picture, in real time."""

import math
from collections.abc import Iterator

import numpy as np

from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.reports.page import Block, Picture, paragraph
from handful.reports.record import Record
from handful.reports.trial_figures import trial_of_round, visited
from handful.reports.wording import number
from handful.training.film import gif

LEAST_MS = 30  # between frames: browsers slow down pictures that are much faster
MOST_FRAMES = 300


def moving_picture(record: Record) -> Iterator[Block]:
    """The film or the animation of the best trial, or a sentence that says why there is none."""
    best, unit = record.best.trial, record.words.unit
    try:
        trial, file, data, seconds = _film(record) if record.films else _animation(record)
    except InputError as error:
        yield paragraph(f"There is no animation of the best {unit}: {error}.")
        return
    shown = f"The best {unit}, number {best}" if trial == best else f"{unit.capitalize()} {trial}"
    shown += f": {trial_of_round(record, trial)}" if record.by_rounds else ""
    shown += f"; the best, {best}, was not filmed" if trial != best else ""
    yield Picture(f"videos/{file}.gif", data, f"{shown}, in real time{seconds}, repeated.")


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


def _film(record: Record) -> tuple[int, str, bytes, str]:
    """Trial, file, data and length of the film of the best trial, or of the last one filmed where the best was not."""
    trial = record.best.trial if record.best.trial in record.films else max(record.films)
    return trial, f"trial-{trial:03d}", record.films[trial], ""


def _animation(record: Record) -> tuple[int, str, bytes, str]:
    drawn = record.env is not None and bool(record.trials)
    if not drawn and (record.animation is None or not record.rows):
        raise InputError("this environment was not filmed, and cannot be drawn at the recorded observations")
    trial = record.best_of(record.trials or [record.best.trial])
    length = len(record.trials[trial]["reward"]) if record.trials else record.best.env_steps
    seconds = f" ({number(length * record.labels.dt)} {record.labels.unit})"
    if record.env is None or not drawn:
        return trial, "best-trial", record.animation or b"", seconds
    return trial, "best-trial", animate(record.env, visited(record.trials[trial])), seconds
