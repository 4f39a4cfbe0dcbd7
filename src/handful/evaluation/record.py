"""A finished or interrupted run as the report sees it: whatever of the run folder can be read."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from handful.envs.base import AbstractEnv
from handful.envs.loading import load
from handful.envs.registry import TASKS
from handful.errors import InputError
from handful.task import Task
from handful.training.film import film_path
from handful.training.progress import ROUNDS, TRIALS, Words
from handful.training.run import Row, RunFolder

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Labels:
    """What the numbers of a trial stand for."""

    names: tuple[str, ...]  # of the observation's entries
    angles: tuple[int, ...] = ()  # those that are angles
    step: float | None = None  # [s] a control step; None where that is not known and time counts steps

    @property
    def dt(self) -> float:
        return 1.0 if self.step is None else self.step

    @property
    def time(self) -> str:
        return f"time in the trial [{'steps' if self.step is None else 's'}]"


@dataclass(frozen=True)
class Record:
    """A run. Numbers that move come from the metrics, so that they are right also where `summary.json` is old."""

    config: dict[str, Any]
    summary: dict[str, Any]  # empty where the run was interrupted before it wrote one
    rows: list[Row]
    trials: dict[int, Arrays]  # only those whose file can be read
    task: Task | None  # None where the environment cannot be loaded here
    env: AbstractEnv | None  # None also where it cannot be drawn at an observation
    films: dict[int, bytes]  # GIFs of trials that could be drawn only while they happened
    notes: list[str]  # what is missing, in sentences

    @property
    def labels(self) -> Labels:
        if self.task:
            return Labels(self.task.names, self.task.angles, self.task.dt)
        sizes = [arrays["obs"].shape[1] for arrays in self.trials.values()]
        return Labels(tuple(f"obs {index}" for index in range(max(sizes, default=0))))

    @property
    def discount(self) -> float:
        return float(self.task.discount) if self.task else 1.0

    @cached_property
    def best(self) -> Row:
        """The row of the greatest return; a return that is not finite ranks below every finite one."""
        return max(self.rows, key=lambda row: row.return_ if math.isfinite(row.return_) else -math.inf)

    @property
    def last(self) -> Row:
        return self.rows[-1]

    @property
    def by_rounds(self) -> bool:
        """Whether an agent without a model learned, so that what is numbered are rounds of steps and no trials."""
        return self.config.get("steps") is not None

    @property
    def words(self) -> Words:
        return ROUNDS if self.by_rounds else TRIALS

    @property
    def categorical(self) -> bool:
        """Whether an action is known to be one of many."""
        return self.task is not None and self.task.categorical

    @property
    def hosted(self) -> bool | None:
        """Whether the environment is on the host; None where it cannot be loaded here."""
        return None if self.task is None else self.env is None

    @property
    def planned(self) -> dict[int, Arrays]:
        """The trials of a controller that planned."""
        return {trial: arrays for trial, arrays in self.trials.items() if "planned_return" in arrays}

    @property
    def forecast(self) -> dict[int, Arrays]:
        """The trials that the model's forecasts can be held against."""
        return {trial: arrays for trial, arrays in self.trials.items() if arrays.get("fan_obs", np.empty(0)).size}

    def best_of(self, trials: dict[int, Arrays]) -> int:
        """The trial with the greatest return among `trials`."""
        finite = {row.trial: row.return_ for row in self.rows if math.isfinite(row.return_)}
        return max(trials, key=lambda trial: finite.get(trial, -math.inf))

    @property
    def solved_return(self) -> float | None:
        """The return from which on the task counts as solved, where one is known."""
        known = getattr(TASKS.get(self.config.get("task", "")), "solved", None)
        return self.summary.get("solved_return", known)

    @property
    def solved_at(self) -> Row | None:
        bar = self.solved_return
        return next((row for row in self.rows if bar is not None and row.return_ >= bar), None)

    @property
    def baselines(self) -> dict[str, Float[np.ndarray, "n"]]:
        """Returns of episodes without learning."""
        given = {name: finite(np.array(values, float)) for name, values in self.summary.get("baselines", {}).items()}
        return {name: values for name, values in given.items() if np.isfinite(values).any()}


def read(folder: RunFolder) -> Record:
    """Read a run folder, going without what is missing.

    Raises `InputError` where there is no configuration or no finished trial.
    """
    config = folder.config()
    if not folder.state_path.exists():
        raise InputError(
            f"{folder.path} holds no finished trial yet, so there is nothing to report; go on with: handful train "
            f"--resume {folder.path}"
        )
    rows, notes = folder.rows(), []
    summary: dict[str, Any] = {}
    if (folder.path / "summary.json").exists():
        summary = folder.summary()
    else:
        notes.append(
            f"The run stopped before its end, so baselines, device and versions were not recorded. "
            f"Go on with: handful train --resume {folder.path}"
        )
    trials: dict[int, Arrays] = {}
    for row in rows:
        try:
            trials[row.trial] = {name: finite(array) for name, array in folder.trial(row.trial).items()}
        except InputError as error:
            notes.append(f"Trial {row.trial} is in the metrics only: {error}.")
    task, env, note = _environment(config.get("task", ""))
    sizes = {(arrays["obs"].shape[1], arrays["action"].shape[1]) for arrays in trials.values()}
    if task and sizes - {(task.obs_size, task.action_size)}:
        task, env, note = None, None, "The task has other sizes now than in this run, so entries have no names here."
    films = {row.trial: path.read_bytes() for row in rows if (path := film_path(folder.path, row.trial)).exists()}
    return Record(config, summary, rows, trials, task, env, films, notes + ([note] if note else []))


def finite(array: np.ndarray) -> np.ndarray:
    """The array, with NaN for all that is not finite: NaN is what the pictures leave out."""
    if not np.issubdtype(array.dtype, np.floating):
        return array
    return np.where(np.isfinite(array), array, np.nan).astype(float)


def _environment(name: str) -> tuple[Task | None, AbstractEnv | None, str | None]:
    """The task; its environment, unless that is hosted and shows only its present; or a sentence that says why not."""
    try:
        env = load(name)
    except InputError as error:
        return None, None, f"The task cannot be loaded here, so entries have no names and time counts steps: {error}."
    if isinstance(env, AbstractEnv):
        return env.task, env, None
    env.close()
    return env.task, None, None
