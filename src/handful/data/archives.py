"""Reads columns from .npz archives; shapes and types are checked before any array is loaded."""

import zipfile
from pathlib import Path

import numpy as np

from handful.data.columns import Columns, check_numbers, is_clock, jumps, trial_numbers
from handful.errors import InputError

TABLES = ("obs", "action", "next_obs")
ENDS = ("terminated", "truncated", "done")
SINGLE = ("trial", "reward", *ENDS)


def read_archive(path: Path, number: int | None = None) -> Columns:
    """The arrays of a file; `number` is the trial of all its rows, if given."""
    try:
        heads = _heads(path)
        wanted = {name: key for key in heads if (name := key.lower()) in (*TABLES, *SINGLE) or is_clock(name)}
        _check(path, {name: heads[key] for name, key in wanted.items()}, sorted(heads))
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[key] for name, key in wanted.items()}
    except InputError:
        raise
    except Exception as error:  # for a damaged file the zip and npy readers raise almost any error
        raise InputError(f"{path} cannot be read as an .npz ({type(error).__name__}); write it again") from error
    obs, action = (_table(arrays[name]) for name in ("obs", "action"))
    next_obs = _table(arrays["next_obs"]) if "next_obs" in arrays else None
    count = len(action)
    if next_obs is None and len(obs) == count + 1 and "trial" not in arrays:
        obs, next_obs = obs[:-1], obs[1:]
    if number is not None:  # the file is one trial, whatever it says of ends
        arrays["trial"] = np.full(count, number)
    single = {name: _single(arrays, name, count) for name in ("trial", "reward", "terminated")}
    ends = {name: _single(arrays, name, count) for name in ENDS if name in arrays}
    clocks = {name: _seconds(values) for name, values in arrays.items() if is_clock(name) and values.ndim == 1}
    clocks = {name: clock[:count] if len(clock) == count + 1 else clock for name, clock in clocks.items()}
    lengths = {"obs": len(obs), "action": count} | {
        name: len(values) for name, values in (single | ends | clocks).items()
    }
    lengths |= {} if next_obs is None else {"next_obs": len(next_obs)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise InputError(f"{path} must contain equally many rows of each array, and it contains {found}")
    if next_obs is not None and next_obs.shape != obs.shape:
        raise InputError(f"{path}: next_obs must have the shape of obs {obs.shape}, got {next_obs.shape}")
    breaks = {
        f"jumps of {name}": jumps(path, name, clock) for name, clock in clocks.items() if np.isfinite(clock).any()
    }
    ended = np.any([*(values > 0 for values in ends.values()), np.zeros(count, bool)], axis=0)
    ended = ended & (number is None)
    trial = trial_numbers(path, single["trial"])
    return Columns(obs, action, next_obs, trial, single["reward"], single["terminated"], ended, breaks)


def _heads(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of each array."""
    heads = {}
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            with file.open(name) as member:
                major, _ = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member)
                heads[name.removesuffix(".npy")] = (shape, dtype)
    return heads


def _check(path: Path, heads: dict[str, tuple[tuple[int, ...], np.dtype]], held: list[str]) -> None:
    missing = [name for name in ("obs", "action") if name not in heads]
    if missing:
        raise InputError(f"{path} must contain obs and action, and it contains {', '.join(held) or 'nothing'}")
    for name, (shape, dtype) in heads.items():
        got = f"got shape {shape} of {dtype}"
        if dtype.hasobject:
            raise InputError(
                f"{path}: {name} holds Python objects, which are not read from files; save an array of numbers with "
                "equally many in each row"
            )
        if name in TABLES and (len(shape) not in {1, 2} or dtype.kind not in "biuf"):
            kind = "real" if dtype.kind == "c" else "numeric"
            raise InputError(f"{path}: {name} must be {kind} with rows and columns, {got}")
        if name in SINGLE and (len(shape) != 1 or dtype.kind not in "biuf"):
            raise InputError(f"{path}: {name} must have one number per row, {got}")
        check_numbers(path, *(shape if len(shape) == 2 else (*shape[:1], 1) if shape else (1, 1)))
    if 0 in heads["obs"][0][1:] or 0 in heads["action"][0][1:]:
        raise InputError(f"{path}: obs and action must have columns, got {heads['obs'][0]} and {heads['action'][0]}")


def _table(array: np.ndarray) -> np.ndarray:
    return np.atleast_2d(array.T).T.astype(float)


def _single(arrays: dict[str, np.ndarray], name: str, count: int) -> np.ndarray:
    return arrays.get(name, np.zeros(count)).astype(float)


def _seconds(values: np.ndarray) -> np.ndarray:
    """A clock as numbers, in any unit; NaN where there is no time."""
    try:
        values = values.astype("datetime64[us]") if values.dtype.kind in "US" else values
    except ValueError:  # words that are no times
        return np.full(len(values), np.nan)
    if values.dtype.kind in "mM":
        return np.where(np.isnat(values), np.nan, values.astype("int64").astype(float))
    return values.astype(float) if values.dtype.kind in "iuf" else np.full(len(values), np.nan)
