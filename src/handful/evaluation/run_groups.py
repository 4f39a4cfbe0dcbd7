"""Finished trials of many runs, read and put into groups that differ in their seeds alone."""

import csv
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from handful.envs.registry import TASKS
from handful.errors import InputError
from handful.evaluation.learning_curves import Curve
from handful.training.run import is_group

TOGETHER = "side by side"  # the setting of seeds that learned in one program
NO_SETTING = {"task", "seed", "seeds", "trials", "out", "resume"}  # of the configuration's entries


@dataclass(frozen=True)
class Run:
    """One seed as its folder tells of it."""

    path: Path
    task: str
    settings: Mapping[str, str]
    curve: Curve
    device: str | None

    @property
    def agent(self) -> str:
        return self.settings.get("agent", "not recorded")


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds alone."""

    label: str
    runs: Sequence[Run]

    @cached_property
    def trials(self) -> int:
        """Trials that all of them have, the random one included."""
        return min(len(run.curve) for run in self.runs)

    @cached_property
    def curves(self) -> list[Curve]:
        """What is compared: each run up to the trials that all of the group have."""
        return [run.curve.first(self.trials) for run in self.runs]


def read_groups(paths: Sequence[Path]) -> tuple[list[Group], list[str]]:
    """All runs below the paths, in groups, and what a reader should know of them.

    Raises `InputError` where `read_runs` does, and where tasks are mixed.
    """
    runs, notes = read_runs(paths)
    tasks = sorted({run.task for run in runs})
    if len(tasks) > 1:
        raise InputError(
            f"runs of one task can be compared, got runs of {', '.join(tasks)}; name those of one of them, or draw all "
            "with --lecture"
        )
    return groups_of(runs), notes


def read_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """All runs below the paths, and what a reader should know of them.

    A path is a run folder, a group folder, or a folder with `seed-N.csv` (metrics) and `seed-N.json` (a summary) for
    each run. A run that is met twice counts once.

    Raises `InputError` where a path is none of these or holds no finished trial.
    """
    runs: dict[Path, Run] = {}
    notes = []
    for path in paths:
        found, empty = _runs_in(path)
        if not found:
            raise InputError(f"{path} holds no finished trial yet; let its run go on, or leave it out")
        runs |= {run.path.resolve(): run for run in found}
        notes += [f"Left out, as no trial of it is finished: {place}." for place in empty]
    return list(runs.values()), notes


def solved_return(task: str) -> float | None:
    """The return from which on a task counts as solved, where that is laid down."""
    return TASKS[task].solved if task in TASKS else None


def groups_of(runs: Sequence[Run]) -> list[Group]:
    """Runs whose settings are the same together; a label names only what tells its group from the others."""
    by_settings: dict[frozenset, list[Run]] = {}
    for run in runs:
        by_settings.setdefault(frozenset(run.settings.items()), []).append(run)
    each = [alike[0].settings for alike in by_settings.values()]
    names = dict.fromkeys(name for settings in each for name in settings)
    telling = [name for name in names if len({settings.get(name) for settings in each}) > 1]
    return [
        Group(_label(alike[0].settings, telling), sorted(alike, key=lambda run: run.curve.seed))
        for alike in by_settings.values()
    ]


def _label(settings: Mapping[str, str], telling: Sequence[str]) -> str:
    """What tells a group from the others; the agent where there are no others."""
    if not telling:
        return settings.get("agent", "all runs")
    parts = [_words(name, settings[name]) for name in telling if name in settings]
    return ", ".join(parts) or "defaults"


def _words(name: str, value: str) -> str:
    spoken = name.replace("_", " ")
    return spoken if value == "True" else f"{spoken} {value}"


def _runs_in(path: Path) -> tuple[list[Run], list[Path]]:
    """The runs that a path stands for, and places where no trial is finished yet."""
    if is_group(path):
        places = [place.parent for place in path.glob("seed-*/config.json")]
    elif (path / "config.json").is_file():
        places = [path]
    else:
        places = [place for place in path.glob("seed-*.csv") if place.with_suffix(".json").is_file()]
        if not places:
            raise InputError(
                f"{path} holds no runs: it is no folder that `handful train` made, and has no seed-N.csv with a "
                "seed-N.json beside it"
            )
    runs, empty = [], []
    for place in sorted(places):
        run = _of_folder(place) if place.is_dir() else _of_files(place)
        (empty.append(place) if run is None else runs.append(run))
    return runs, empty


def _of_folder(path: Path) -> Run | None:
    config = _json(path / "config.json")
    if not (path / "metrics.csv").is_file():
        return None
    settings = {name: str(value) for name, value in config.items() if name not in NO_SETTING and _given(value)}
    if "seeds" in config:
        settings[TOGETHER] = "True"
    summary = _json(path / "summary.json") if (path / "summary.json").is_file() else {}
    return _run(path, path / "metrics.csv", config, settings, summary.get("device"))


def _of_files(path: Path) -> Run | None:
    """A run of which only metrics and summary were kept, with the command that made it."""
    summary = _json(path.with_suffix(".json"))
    try:
        words = shlex.split(_text(summary.get("command", "")))
        version = summary.get("versions", {}).get("handful", "not recorded")
    except (AttributeError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error
    made = {"agent": str(summary.get("agent")), "handful": str(version)}
    told = _options(words) if "command" in summary else {"folder": path.parent.name}
    settings = told | made | ({TOGETHER: "True"} if "--seeds" in words else {})
    return _run(path, path, summary, settings, summary.get("device"))


def _run(path: Path, metrics: Path, told: Mapping[str, Any], settings: Mapping[str, str], device: Any) -> Run | None:
    try:
        task, seed = _text(told["task"]), int(told["seed"])
        with metrics.open(newline="") as lines:
            rows = [[float(row[name]) for name in ("env_steps", "wall_s", "return")] for row in csv.DictReader(lines)]
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise _unreadable(path, error) from error
    if not rows:
        return None
    steps, wall, returns = np.array(rows).T
    return Run(path, task, settings, Curve(seed, steps, wall, np.where(np.isfinite(returns), returns, -np.inf)), device)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the run at {path} cannot be read ({type(error).__name__}: {error}); restore its files, or leave it out"
    )


def _options(words: Sequence[str]) -> dict[str, str]:
    """The options of a command line that make a difference."""
    options: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word.removeprefix("--").replace("-", "_").partition("=")
            options[name] = value or "True"
        elif name:
            options[name] = word if options[name] == "True" else f"{options[name]} {word}"
    return {name: value for name, value in options.items() if name not in NO_SETTING}


def _given(value: Any) -> bool:
    return value is not None and value is not False


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()).items())
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is missing or damaged ({type(error).__name__}); restore it, or leave the run out"
        ) from error
