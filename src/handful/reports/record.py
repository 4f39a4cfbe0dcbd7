"""The contents of a run folder, as far as they can be read."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from handful.envs.base import AbstractEnv
from handful.envs.loading import load
from handful.envs.registry import info_of
from handful.errors import InputError
from handful.task import Task
from handful.training.film import film_path
from handful.training.progress import ROUNDS, TRIALS, Words
from handful.training.run import Row, RunFolder, columns_of

Arrays = dict[str, np.ndarray]

UPDATES = "update_"  # begins the names of a trial's arrays with one entry for each update


@dataclass(frozen=True)
class Labels:
    """Names and units of the arrays of a trial."""

    names: tuple[str, ...]  # of the observation's entries
    angles: tuple[int, ...] = ()  # indices of entries that are angles
    dt: float = 1.0  # [unit] a control step
    unit: str = "steps"  # of time; "s" where the duration of a step is known

    @property
    def time(self) -> str:
        return f"time in the trial [{self.unit}]"


@dataclass(frozen=True)
class Record:
    """A run. Numbers that change during a run come from the metrics, since `summary.json` may be older."""

    config: dict[str, Any]
    summary: dict[str, Any]  # empty where the run was interrupted before it wrote one
    rows: list[Row]
    trials: dict[int, Arrays]  # only those whose file can be read
    task: Task | None  # None where the environment cannot be loaded here
    env: AbstractEnv | None  # None also where it runs on the host and cannot be drawn at a given observation
    films: dict[int, bytes]  # GIFs of trials that could be filmed only while they ran
    notes: list[str]  # what is missing, in sentences

    @property
    def labels(self) -> Labels:
        if self.task:
            return Labels(self.task.names, self.task.angles, self.task.dt, "s")
        size = max((arrays["obs"].shape[1] for arrays in self.trials.values()), default=0)
        return Labels(tuple(f"obs {index}" for index in range(size)))

    @property
    def discount(self) -> float:
        return float(self.task.discount) if self.task else 1.0

    @property
    def last(self) -> Row:
        return self.rows[-1]

    @property
    def by_rounds(self) -> bool:
        """Whether rows are rounds of so many steps, and not trials."""
        return self.config.get("updates") is not None

    @property
    def words(self) -> Words:
        return ROUNDS if self.by_rounds else TRIALS

    def place(self, row: Row) -> int:
        """Where a row stands on the horizontal axis of figures with one point for each."""
        return row.env_steps if self.by_rounds else row.trial

    @property
    def places(self) -> list[int]:
        return [self.place(row) for row in self.rows]

    def column(self, name: str) -> Float[np.ndarray, "n"]:
        """A column of the metrics; NaN where a row has no finite value."""
        return finite(np.array([columns_of(row).get(name) for row in self.rows], float))

    @cached_property
    def metrics(self) -> dict[str, Float[np.ndarray, "2 k"]]:
        """Places and values of each metric that the agent reports, by name, where they are finite.

        Metrics of updates are averaged over the updates of the row.
        """
        found: dict[str, list[tuple[int, float]]] = {}
        for row in self.rows:
            values = dict(row.metrics)
            for name, array in self.trials.get(row.trial, {}).items():
                if name.startswith(UPDATES) and np.isfinite(array).any():
                    values[name.removeprefix(UPDATES)] = float(np.nanmean(array))
            for name, value in values.items():
                if value is not None and math.isfinite(value):
                    found.setdefault(name, []).append((self.place(row), value))
        return {name: np.array(pairs, float).T for name, pairs in found.items()}

    @property
    def categorical(self) -> bool:
        """Whether an action is known to be one of several categories."""
        return self.task is not None and self.task.categorical

    @property
    def hosted(self) -> bool | None:
        """Whether the environment runs on the host; None where it cannot be loaded here."""
        return None if self.task is None else self.env is None

    @property
    def planned(self) -> dict[int, Arrays]:
        """The trials with planned returns."""
        return {trial: arrays for trial, arrays in self.trials.items() if "planned_return" in arrays}

    @property
    def forecast(self) -> dict[int, Arrays]:
        """The trials with forecasts of a model."""
        return {trial: arrays for trial, arrays in self.trials.items() if arrays.get("fan_obs", np.empty(0)).size}

    def best_of(self, trials: Iterable[int]) -> int:
        """The trial with the greatest return; one that is not finite ranks below every finite one."""
        returns = {row.trial: row.return_ for row in self.rows if math.isfinite(row.return_)}
        return max(trials, key=lambda trial: returns.get(trial, -math.inf))

    @cached_property
    def best(self) -> Row:
        """The first of the rows with the greatest finite return."""
        return max(self.rows, key=lambda row: row.return_ if math.isfinite(row.return_) else -math.inf)

    @property
    def solved_return(self) -> float | None:
        """The return from which on the task counts as solved, where one is defined."""
        return self.summary.get("solved_return", info_of(str(self.config.get("task", ""))).solved_return)

    @property
    def solved_at(self) -> Row | None:
        threshold = self.solved_return
        return next((row for row in self.rows if threshold is not None and row.return_ >= threshold), None)

    @property
    def baselines(self) -> dict[str, Float[np.ndarray, "n"]]:
        """Returns of episodes without learning."""
        given = {name: finite(np.array(values, float)) for name, values in self.summary.get("baselines", {}).items()}
        return {name: values for name, values in given.items() if np.isfinite(values).any()}


def read(folder: RunFolder) -> Record:
    """Read a run folder; what is missing is left out and noted.

    Raises `InputError` where there is no configuration or no finished trial.
    """
    config, advice = folder.config(), f"go on with: handful train --resume {folder.path}"
    if not folder.state_path.exists():
        raise InputError(f"{folder.path} holds no finished trial yet, so there is nothing to report; {advice}")
    rows, notes = folder.rows(), []
    summary = folder.summary() if (folder.path / "summary.json").exists() else {}
    if not summary:
        notes.append(f"The run stopped before its end, so baselines, device and versions were not recorded; {advice}")
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
    notes += [note] if note else []
    films = {row.trial: path.read_bytes() for row in rows if (path := film_path(folder.path, row.trial)).exists()}
    return Record(config, summary, rows, trials, task, env, films, notes)


def finite(array: np.ndarray) -> np.ndarray:
    """The array with NaN for all that is not finite: figures leave gaps there."""
    if not np.issubdtype(array.dtype, np.floating):
        return array
    return np.where(np.isfinite(array), array, np.nan).astype(float)


def _environment(name: str) -> tuple[Task | None, AbstractEnv | None, str | None]:
    """The task; its environment unless that runs on the host; or a sentence that says why there is neither."""
    try:
        env = load(name)
    except InputError as error:
        return None, None, f"The task cannot be loaded here, so entries have no names and time counts steps: {error}."
    if isinstance(env, AbstractEnv):
        return env.task, env, None
    env.close()
    return env.task, None, None
