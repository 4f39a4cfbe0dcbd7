"""Reads finished trials of many runs, and groups runs that differ in nothing but their seeds."""

import csv
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful.envs.registry import info_of
from handful.errors import InputError
from handful.scores.groups import TOGETHER, SeedGroup, SeedRun
from handful.scores.learning_curves import Curve
from handful.training.files import read_json
from handful.training.run import is_group

DAMAGED = "restore it, or leave the run out"  # advice
NO_SETTING = {"task", "seed", "seeds", "trials", "updates", "options", "given", "out", "resume"}  # of configurations


def read_groups(paths: Sequence[Path], threshold: float | None = None) -> tuple[list[SeedGroup], list[str]]:
    """All runs below the paths in groups, and notes.

    Raises `InputError` where `read_runs` does, and where tasks are mixed.
    """
    runs, notes = read_runs(paths)
    tasks = sorted({run.task for run in runs})
    if len(tasks) > 1:
        raise InputError(
            f"runs of one task can be compared, got runs of {', '.join(tasks)}; name those of one of them, or draw all "
            "with --lecture"
        )
    return groups_of(runs, threshold), notes


def read_runs(paths: Sequence[Path]) -> tuple[list[SeedRun], list[str]]:
    """All runs below the paths, and notes on those without a finished trial.

    A path is a run folder, a group folder, or a folder with `seed-N.csv` (metrics) and `seed-N.json` (a summary) for
    each run. A run that occurs twice counts once.

    Raises `InputError` where a path is none of these or holds no finished trial.
    """
    runs: dict[Path, SeedRun] = {}
    notes = []
    for path in paths:
        read = {place: _read(place) for place in _places(path)}
        found = {place.resolve(): run for place, run in read.items() if run is not None}
        if not found:
            raise InputError(f"{path} holds no finished trial yet; let its run go on, or leave it out")
        runs |= found
        notes += [f"Left out, as no trial of it is finished: {place}." for place, run in read.items() if run is None]
    return list(runs.values()), notes


def groups_of(runs: Sequence[SeedRun], threshold: float | None = None) -> list[SeedGroup]:
    """Groups of runs of one task with the same settings. A label names only settings in which groups differ.

    `threshold` is the return to reach; the task's solved threshold, if one is defined, where none is given.
    """
    threshold = info_of(runs[0].task).solved_return if threshold is None else threshold
    by_settings: dict[frozenset, list[SeedRun]] = {}
    for run in runs:
        by_settings.setdefault(frozenset(run.settings.items()), []).append(run)
    each = [alike[0].settings for alike in by_settings.values()]
    names = dict.fromkeys(name for settings in each for name in settings)
    differing = [name for name in names if len({settings.get(name) for settings in each}) > 1]
    return [
        SeedGroup(_label(settings, differing), sorted(alike, key=lambda run: run.curve.seed), threshold)
        for settings, alike in zip(each, by_settings.values(), strict=True)
    ]


def _label(settings: Mapping[str, str], differing: Sequence[str]) -> str:
    """The differing settings of a group; the agent where there is no other group."""
    if not differing:
        return settings.get("agent", "all runs")
    given = {name.replace("_", " "): settings[name] for name in differing if name in settings}
    return ", ".join(name if value == "True" else f"{name} {value}" for name, value in given.items()) or "defaults"


def _places(path: Path) -> list[Path]:
    """The run folders, or the CSV files of runs, that a path stands for."""
    if is_group(path):
        return sorted(place.parent for place in path.glob("seed-*/config.json"))
    if (path / "config.json").is_file():
        return [path]
    places = sorted(place for place in path.glob("seed-*.csv") if place.with_suffix(".json").is_file())
    if not places:
        raise InputError(
            f"{path} holds no runs: it is no folder that `handful train` made, and has no seed-N.csv with a "
            "seed-N.json beside it"
        )
    return places


def _read(place: Path) -> SeedRun | None:
    """The run of a folder or of a CSV file; None where it has no finished trial."""
    whole = place.is_dir()
    try:
        facts, settings = _of_folder(place) if whole else _of_summary(place.with_suffix(".json"))
        curve = _curve(place / "metrics.csv" if whole else place, int(facts["seed"]))
        settings = {name: str(value) for name, value in settings.items() if name not in NO_SETTING}
        device = facts.get("device") and _text(facts["device"])
        return None if curve is None else SeedRun(place, _text(facts["task"]), settings, curve, device)
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError, csv.Error) as error:
        raise InputError(
            f"the run at {place} cannot be read ({type(error).__name__}: {error}); restore its files, or leave it out"
        ) from error


def _of_folder(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts (task, seed, device) and settings of a run folder."""
    config, summary = read_json(path / "config.json", DAMAGED), path / "summary.json"
    settings = {name: value for name, value in config.items() if value is not None and value is not False}
    settings |= config.get("given", {}) | ({TOGETHER: True} if "seeds" in config else {})
    return (read_json(summary, DAMAGED) if summary.is_file() else {}) | config, settings


def _of_summary(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `_of_folder`, of a run of which only metrics and summary, with its command, were kept."""
    summary = read_json(path, DAMAGED)
    words = shlex.split(_text(summary.get("command", "")))
    settings = _options(words) if "command" in summary else {"folder": path.parent.name}
    settings |= {"agent": summary.get("agent"), "handful": summary.get("versions", {}).get("handful", "not recorded")}
    return summary, settings | ({TOGETHER: True} if "--seeds" in words else {})


def _curve(metrics: Path, seed: int) -> Curve | None:
    """The learning curve; None where there is no finished trial."""
    if not metrics.is_file():
        return None
    with metrics.open(newline="") as lines:
        rows = [[float(row[name]) for name in ("env_steps", "wall_s", "return")] for row in csv.DictReader(lines)]
    if not rows:
        return None
    steps, wall, returns = np.array(rows).T
    if not (np.isfinite(steps).all() and np.isfinite(wall).all() and (np.diff(steps) >= 0).all()):
        raise ValueError("env_steps and wall_s must be finite, and steps must not fall")
    return Curve(seed, steps, wall, np.where(np.isfinite(returns), returns, -np.inf))


def _options(words: Sequence[str]) -> dict[str, str]:
    """The options of a command line."""
    options: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word.removeprefix("--").replace("-", "_").partition("=")
            options[name] = value or "True"
        elif name:
            options[name] = word if options[name] == "True" else f"{options[name]} {word}"
    return options


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
