"""Loads recorded trials from run folders, .npz and .csv files."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from handful.data.archives import read_archive
from handful.data.columns import Columns, trials_of
from handful.data.dataset import Dataset
from handful.data.tables import read_table
from handful.errors import InputError
from handful.types import Transition

_STEP = 64  # [rows] capacities are multiples of it, so that logs of similar sizes are compiled once


@dataclass(frozen=True)
class Log:
    """Recorded trials of a system."""

    trials: dict[int, Transition]  # by number, in the order of the file; rows are ordered by time
    names: tuple[str, ...] | None = None  # of the entries of the observation, if the file has them
    task: str | None = None  # of `handful train`, for a run folder
    notes: tuple[str, ...] = ()  # sentences on data that were left out
    system: dict[str, Any] | None = None  # what a run folder records of its system, unchecked

    @property
    def obs_size(self) -> int:
        return next(iter(self.trials.values())).obs.shape[1]

    @property
    def action_size(self) -> int:
        return next(iter(self.trials.values())).action.shape[1]


def load_log(path: Path) -> Log:
    """Reads a run folder, an .npz or a .csv file.

    .npz: `obs` [t o], `action` [t a], `next_obs` [t o], and optionally `trial`, `reward`, `terminated`, `truncated`
    and a clock (`time`, `t`, `stamp`, `step`) [t]. Without `next_obs`, it is the obs of the following row of the same
    trial; a single trial may have one more row of `obs` than of `action`.

    .csv: a header, and a row per time step, ordered by time; columns whose names begin with `obs` and with `action`,
    and optionally `next_obs` and single columns as above. Capitals, the separator, the decimal mark, the encoding and
    a row of units are recognised; a text with two meanings is refused.

    A trial ends where its number changes, at a blank line, where the clock jumps, and where `terminated`, `truncated`
    or `done` is set (above 0); one more row after that may hold its last obs. Pieces of one number get numbers of
    their own. Rows that are not finite, or so large that nothing else is resolved beside them, are left out. Notes
    count both.

    Raises `InputError` if a file or a column is missing, shapes do not fit, no row is left, or the float type of JAX
    does not resolve the changes of an entry.
    """
    if path.is_dir():
        return _run_folder(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a run folder, an .npz or a .csv")
    if path.suffix.lower() == ".npz":
        return _log(path, read_archive(path))
    if path.suffix.lower() in {".csv", ".tsv"}:
        rows, names, notes = read_table(path)
        return _log(path, rows, names=names, notes=notes)
    raise InputError(f"{path} has an unknown format; give a run folder, an .npz or a .csv")


def dataset_of(trials: dict[int, Transition], capacity: int | None = None) -> Dataset:
    """All trials in one padded dataset. Raises `InputError` without rows, and with more than `capacity`."""
    count = sum(len(trial.reward) for trial in trials.values())
    capacity = -(-count // _STEP) * _STEP if capacity is None else capacity
    if not 0 < count <= capacity:
        raise InputError(f"a dataset of capacity {capacity} holds 1 to {capacity} transitions, got {count}")

    def padded(parts: list[np.ndarray], value: int = 0) -> np.ndarray:
        rows = np.concatenate(parts)
        return np.pad(rows, [(0, capacity - count)] + [(0, 0)] * (rows.ndim - 1), constant_values=value)

    names = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
    rows = Transition(*(jnp.asarray(padded([np.asarray(getattr(t, name)) for t in trials.values()])) for name in names))
    numbers = [np.full(len(trial.reward), number, int) for number, trial in trials.items()]
    return Dataset(rows, jnp.asarray(padded(numbers, -1), int), jnp.asarray(count, int))


def _run_folder(path: Path) -> Log:
    files = sorted((path / "checkpoints").glob("trial-*.npz"))
    if not files:
        raise InputError(
            f"{path} contains no trials (checkpoints/trial-*.npz); give a folder written by `handful train`"
        )
    parts = {file: read_archive(file, number=_number_of(file)) for file in files}
    shapes = {file: (part.obs.shape[1], part.action.shape[1], part.next_obs is None) for file, part in parts.items()}
    odd = next((file for file in files if shapes[file] != shapes[files[0]]), None)
    if odd:
        raise InputError(f"{odd} and {files[0].name} must hold the same columns of obs, action and next_obs")
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        task, system = config.get("task"), config.get("system")
    except (OSError, ValueError, AttributeError, RecursionError):
        task = system = None
    log = _log(path, Columns.joined(list(parts.values())), task=task if isinstance(task, str) else None)
    return dataclasses.replace(log, system=system)


def _number_of(file: Path) -> int:
    number = file.stem.removeprefix("trial-")
    if not number.isdecimal():
        raise InputError(f"{file} must be named trial- and a number; rename it, or move it elsewhere")
    return int(number)


def _log(
    path: Path,
    rows: Columns,
    *,
    names: tuple[str, ...] | None = None,
    task: str | None = None,
    notes: Sequence[str] = (),
) -> Log:
    trials, more = trials_of(path, rows, names)
    return Log(trials, names, task, (*notes, *more))
