"""Loads recorded trials from run folders, .npz and .csv files."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from handful.data.dataset import Dataset
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

    @property
    def obs_size(self) -> int:
        return next(iter(self.trials.values())).obs.shape[1]

    @property
    def action_size(self) -> int:
        return next(iter(self.trials.values())).action.shape[1]


@dataclass(frozen=True)
class _Rows:
    """The columns of a file before they are checked; `next_obs` is None if it is the obs of the following row."""

    obs: np.ndarray
    action: np.ndarray
    next_obs: np.ndarray | None
    trial: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray


def load_log(path: Path) -> Log:
    """Reads a run folder, an .npz or a .csv file.

    .npz: `obs` [t o], `action` [t a], `next_obs` [t o], and optionally `trial`, `reward` and `terminated` [t]. Without
    `next_obs`, it is the obs of the following row of the same trial; a single trial may have one more row of `obs` than
    of `action`.

    .csv: a header, and a row per time step, ordered by time; columns whose names begin with `obs` and with `action`,
    and optionally `trial`, `reward` and `terminated` (above 0 if the trial terminated). `next_obs` is the obs of the
    following row of the same trial.

    Rows that are not finite are left out, and counted in the notes.

    Raises `InputError` if a file or a column is missing, shapes do not fit, or no row is left.
    """
    if path.is_dir():
        return _run_folder(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a run folder, an .npz or a .csv")
    if path.suffix == ".npz":
        return _checked(path, _npz(path))
    if path.suffix == ".csv":
        rows, names, notes = _csv(path)
        return _checked(path, rows, names=names, notes=notes)
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
    parts = [_npz(file, number=int(file.stem.removeprefix("trial-"))) for file in files]
    rows = _Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in _Rows.__dataclass_fields__))
    try:
        task = json.loads((path / "config.json").read_text()).get("task")
    except (OSError, ValueError, AttributeError):
        task = None
    return _checked(path, rows, task=task)


def _npz(path: Path, number: int | None = None) -> _Rows:
    """The arrays of a file; `number` is the trial of all its rows, if given."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # for a damaged file the zip and npy readers raise almost any error
        raise InputError(f"{path} cannot be read as an .npz ({type(error).__name__}); write it again") from error
    missing = [name for name in ("obs", "action") if name not in arrays]
    if missing:
        raise InputError(
            f"{path} must contain obs and action, and it contains {', '.join(sorted(arrays)) or 'nothing'}"
        )
    obs, action = (_columns(path, name, arrays[name]) for name in ("obs", "action"))
    next_obs = _columns(path, "next_obs", arrays["next_obs"]) if "next_obs" in arrays else None
    count = len(action)
    if next_obs is None and len(obs) == count + 1 and "trial" not in arrays:
        obs, next_obs = obs[:-1], obs[1:]
    if number is not None:
        arrays["trial"] = np.full(count, number)
    single = {
        name: _column(path, name, arrays.get(name, np.zeros(count))) for name in ("trial", "reward", "terminated")
    }
    lengths = {"obs": len(obs), "action": count} | {name: len(values) for name, values in single.items()}
    lengths |= {} if next_obs is None else {"next_obs": len(next_obs)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise InputError(f"{path} must contain equally many rows of each array, and it contains {found}")
    if next_obs is not None and next_obs.shape != obs.shape:
        raise InputError(f"{path}: next_obs must have the shape of obs {obs.shape}, got {next_obs.shape}")
    return _Rows(obs, action, next_obs, _trial_numbers(path, single["trial"]), single["reward"], single["terminated"])


def _csv(path: Path) -> tuple[_Rows, tuple[str, ...], list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a .csv ({type(error).__name__}); write it again") from error
    if len(lines) < 2:
        raise InputError(f"{path} must contain a header and rows below it, and it contains {len(lines)} lines")
    header = [cell.strip() for cell in lines[0]]
    uneven = next((number for number, line in enumerate(lines, 1) if len(line) != len(header)), None)
    if uneven:
        raise InputError(
            f"{path}: every row must have the {len(header)} cells of the header, row {uneven} has "
            f"{len(lines[uneven - 1])}"
        )
    of = {kind: [index for index, name in enumerate(header) if name.startswith(kind)] for kind in ("obs", "action")}
    if not all(of.values()):
        raise InputError(
            f"{path} must have columns whose names begin with obs and with action, and it has {', '.join(header)}"
        )
    table = np.array([[_number(cell) for cell in line] for line in lines[1:]])
    single = {name: table[:, header.index(name)] for name in ("trial", "reward", "terminated") if name in header}
    used = {*of["obs"], *of["action"], *(header.index(name) for name in single)}
    ignored = [name for index, name in enumerate(header) if index not in used]
    notes = [f"Unused columns: {', '.join(ignored)}."] if ignored else []
    zero = np.zeros(len(table))
    rows = _Rows(
        table[:, of["obs"]], table[:, of["action"]], None, _trial_numbers(path, single.get("trial", zero)),
        single.get("reward", zero), single.get("terminated", zero),
    )  # fmt: skip
    return rows, tuple(_entry_name(header[index]) for index in of["obs"]), notes


def _checked(
    path: Path, rows: _Rows, *, names: tuple[str, ...] | None = None, task: str | None = None, notes: Sequence[str] = ()
) -> Log:
    """The rows of each trial, without those that are not finite."""
    trials, dropped, total = {}, 0, 0
    for number in dict.fromkeys(rows.trial.tolist()):
        one = {name: getattr(rows, name)[rows.trial == number] for name in ("obs", "action", "reward", "terminated")}
        if rows.next_obs is None:
            one |= {name: value[:-1] for name, value in one.items()} | {"next_obs": one["obs"][1:]}
        else:
            one["next_obs"] = rows.next_obs[rows.trial == number]
        finite = np.all([_finite(value) for value in one.values()], axis=0)
        dropped, total = dropped + int((~finite).sum()), total + len(finite)
        if finite.any():
            trials[number] = _transitions({name: value[finite] for name, value in one.items()})
    if not trials:
        raise InputError(f"{path} contains no valid transition: {dropped} of {total} are not finite")
    lost = f"{dropped} of {total} transitions are not finite and were left out."
    return Log(trials, names, task, (*notes, *([lost] if dropped else [])))


def _transitions(one: dict[str, np.ndarray]) -> Transition:
    """The rows of a trial; the last one is truncated, unless it terminated."""
    obs, action, reward, next_obs = (jnp.asarray(one[name], float) for name in ("obs", "action", "reward", "next_obs"))
    terminated = one["terminated"] > 0
    truncated = (np.arange(len(terminated)) == len(terminated) - 1) & ~terminated
    return Transition(obs, action, reward, next_obs, jnp.asarray(terminated), jnp.asarray(truncated))


def _finite(values: np.ndarray) -> np.ndarray:
    """True for rows that are finite in the default float type."""
    most = float(jnp.finfo(jnp.zeros(()).dtype).max)
    return np.all(np.abs(np.atleast_2d(values.T).T) <= most, axis=1)


def _columns(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim not in {1, 2} or not np.issubdtype(array.dtype, np.number):
        raise InputError(
            f"{path}: {name} must be numeric with rows and columns, got shape {array.shape} of {array.dtype}"
        )
    return np.atleast_2d(array.T).T.astype(float)


def _column(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise InputError(f"{path}: {name} must have one number per row, got shape {array.shape} of {array.dtype}")
    return array.astype(float)


def _trial_numbers(path: Path, trial: np.ndarray) -> np.ndarray:
    if not np.isfinite(trial).all() or (trial != np.round(trial)).any() or (trial < 0).any():
        raise InputError(f"{path}: trial must be an integer of at least 0 in each row")
    return trial.astype(int)


def _number(cell: str) -> float:
    """The number in a cell; NaN if there is none, so that the row is left out."""
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _entry_name(column: str) -> str:
    """The name without the prefix `obs`: "obs angle [rad]" becomes "angle [rad]", and "obs1" stays as it is."""
    rest = re.sub(r"^obs[\s_.:/-]*", "", column)
    return column if not rest or rest.isdigit() else rest
