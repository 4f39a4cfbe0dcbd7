"""The contents of a run folder, as far as they can be read."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from handful.envs.base import AbstractEnv
from handful.envs.registry import info_of
from handful.errors import InputError
from handful.reports.plant import Plant, system_of
from handful.training.film import film_path
from handful.training.progress import ROUNDS, TRIALS, Words
from handful.training.run import Row, RunFolder, columns_of
from handful.training.schema import NUMBER, check_content, check_trial

Arrays = dict[str, np.ndarray]

ANIMATION = "best-trial.gif"  # in `videos/`, drawn by a report
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


CONFIG = {"task?": str, "agent?": str, "seed?": int, "updates?": int, "trials?": int, "given?": dict, "options?": dict}
SUMMARY = {
    "baselines?": {}, "solved_return?": NUMBER, "versions?": dict, "device?": str, "compile_s?": NUMBER,
    "parameters?": {},
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A run. Numbers that change during a run come from the metrics, since `summary.json` may be older."""

    config: dict[str, Any]
    summary: dict[str, Any]  # empty where the run was interrupted before it wrote one
    rows: list[Row]
    trials: dict[int, Arrays]  # only those whose file can be read
    system: Plant | None  # None where nothing is recorded of it, and its task is not at hand
    env: AbstractEnv | None  # to draw; None where that would run code of the user, or nothing can be drawn
    films: dict[int, bytes]  # GIFs of trials that could be filmed only while they ran
    notes: list[str]  # what is missing, in sentences
    animation: bytes | None = None  # of the best trial, as an earlier report left it

    @property
    def labels(self) -> Labels:
        if self.system:
            return Labels(self.system.names, self.system.angles, self.system.dt, "s")
        size = max((arrays["obs"].shape[1] for arrays in self.trials.values()), default=0)
        return Labels(tuple(f"obs {index}" for index in range(size)))

    @property
    def discount(self) -> float:
        return self.system.discount if self.system else 1.0

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
        return self.system is not None and self.system.categorical

    @property
    def hosted(self) -> bool | None:
        """Whether the environment runs on the host; None where that is not known."""
        return None if self.system is None else self.system.hosted

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
    check_content(config, CONFIG, str(folder.config_path))
    rows, notes = rows_of(folder), []
    summary = folder.summary() if (folder.path / "summary.json").exists() else {}
    check_content(summary, SUMMARY, str(folder.path / "summary.json"))
    for part in ("baselines", "parameters"):
        kind = [(*NUMBER, type(None))] if part == "baselines" else dict
        for name, value in summary.get(part, {}).items():
            check_content(value, kind, f"{name!r} of {part!r} of {folder.path / 'summary.json'}")
    if not summary:
        notes.append(f"The run stopped before its end, so baselines, device and versions were not recorded; {advice}")
    trials: dict[int, Arrays] = {}
    for row in rows:
        try:
            arrays = folder.trial(row.trial)
            check_trial(arrays)
            trials[row.trial] = {name: finite(array) for name, array in arrays.items() if array.dtype.kind in "biuf"}
        except InputError as error:
            notes.append(f"Trial {row.trial} is in the metrics only: {error}.")
    trials, strange = alike(trials)
    notes += [f"Trial {trial} is in the metrics only: its arrays have other sizes than the rest." for trial in strange]
    system, env, note = system_of(config)
    sizes = {(arrays["obs"].shape[1], arrays["action"].shape[1]) for arrays in trials.values()}
    if system and sizes - {(len(system.names), len(system.low))}:
        system, env, note = None, None, "The task has other sizes now than in this run, so entries have no names here."
    notes += [note] if note else []
    films = {row.trial: path.read_bytes() for row in rows if (path := film_path(folder.path, row.trial)).is_file()}
    left = folder.path / "videos" / ANIMATION
    return Record(
        config, summary, rows, trials, system, env, films, notes, left.read_bytes() if left.is_file() else None
    )


def rows_of(folder: RunFolder) -> list[Row]:
    """The metrics so far. Raises `InputError` where the state does not hold them in their form, or holds none."""
    where, fields = f"{folder.state_path}; {folder.REMEDY}", {"metrics": dict}
    fields |= {"trial": int, "env_steps": int, "return_": NUMBER, "fit_s": NUMBER, "wall_s": NUMBER}
    header = folder.state_header()
    check_content(header, {"rows": [fields]}, where)
    rows = [Row(**{name: row[name] for name in fields}) for row in header["rows"]]
    for row in rows:
        check_content(list(row.metrics.values()), [(*NUMBER, type(None))], f"the metrics of {where}")
    if not rows:
        raise InputError(f"{where} holds no finished trial")
    return rows


def alike(trials: dict[int, Arrays]) -> tuple[dict[int, Arrays], list[int]]:
    """The trials with the most common sizes, and the numbers of the others."""
    sizes = {trial: (arrays["obs"].shape[1], arrays["action"].shape[1]) for trial, arrays in trials.items()}
    usual = max(sizes.values(), key=list(sizes.values()).count, default=None)
    strange = [trial for trial, size in sizes.items() if size != usual]
    return {trial: arrays for trial, arrays in trials.items() if trial not in strange}, strange


def finite(array: np.ndarray) -> np.ndarray:
    """The array with NaN for all that is not finite: figures leave gaps there."""
    if not np.issubdtype(array.dtype, np.floating):
        return array
    return np.where(np.isfinite(array), array, np.nan).astype(float)
