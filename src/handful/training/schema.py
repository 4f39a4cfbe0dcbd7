"""What files of runs and models must hold, checked where they are read."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from handful.errors import InputError

NUMBER = (int, float)
ANY = object  # of a schema: any value

# Axes of the arrays of a trial; a letter stands for the same length everywhere, `+1` for one more.
TRIAL = {
    "obs": "t o",
    "action": "t a",
    "reward": "t",
    "next_obs": "t o",
    "terminated": "t",
    "truncated": "t",
    "step_ms": "k",
    "planned_return": "t",
    "planned_std": "t",
    "plan": "t h a",
    "fan_starts": "s",
    "fan_obs": "s p w o",
}
LEAST = {"t": 1, "o": 1, "a": 1, "h": 1, "p": 1, "w": 2}  # lengths of axes
TOGETHER = {"planned_return": ("planned_std", "plan"), "fan_obs": ("fan_starts",)}  # what needs which others
NEEDED = ("obs", "action", "reward", "next_obs", "terminated")


def check_content(content: Any, schema: Any, where: str) -> None:
    """Raises `InputError` where content from JSON has another form than the schema.

    A schema is a type or several; a list of one schema, of all entries; or a mapping from keys to schemas, in which
    keys that end in "?" may be missing or null.
    """
    if isinstance(schema, dict):
        _check_kind(content, dict, where)
        for key, inner in schema.items():
            name, optional = key.removesuffix("?"), key.endswith("?")
            if content.get(name) is None and optional:
                continue
            if name not in content:
                raise InputError(f"{where} must hold {name!r}, and it holds {_shown(list(content))}")
            check_content(content[name], inner, f"{name!r} of {where}")
    elif isinstance(schema, list):
        _check_kind(content, list, where)
        for entry in content:
            check_content(entry, schema[0], f"an entry of {where}")
    elif schema is not ANY:
        _check_kind(content, schema, where)


def check_arrays(
    arrays: Mapping[str, np.ndarray], axes: Mapping[str, str], needed: Iterable[str], **known: int
) -> None:
    """Raises `InputError` where an array is missing, holds no numbers, or has other axes than the others.

    `known` are lengths of axes.
    """
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise InputError(f"there is no array {missing[0]!r}")
    lengths = dict(known)
    for name in (name for name in axes if name in arrays):
        array, letters = arrays[name], axes[name].split()
        if array.dtype.kind not in "biuf" or array.ndim != len(letters):
            raise InputError(f"{name!r} must be numbers on the axes {axes[name]}, got {array.dtype}{array.shape}")
        for letter, length in zip(letters, array.shape, strict=True):
            if lengths.setdefault(letter, length) != length:
                raise InputError(f"{name!r} must have {lengths[letter]} on its axis {letter}, got shape {array.shape}")
            if length < LEAST.get(letter, 0):
                raise InputError(f"{name!r} must have {LEAST[letter]} or more on its axis {letter}, got {array.shape}")


def check_trial(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises `InputError` where the arrays of a trial do not fit each other, or there is no step."""
    further = [name for first, rest in TOGETHER.items() if first in arrays for name in rest]
    check_arrays(arrays, TRIAL, [*NEEDED, *further])
    if "fan_obs" in arrays:
        check_forecasts(arrays, len(arrays["reward"]))


def check_forecasts(arrays: Mapping[str, np.ndarray], steps: int) -> None:
    """Raises `InputError` where the forecasts `fan_obs` from `fan_starts` do not lie within so many steps."""
    starts, ahead = arrays["fan_starts"], arrays["fan_obs"].shape[2] - 1
    if starts.dtype.kind not in "iu" or ((starts < 0) | (starts + ahead > steps)).any():
        raise InputError(f"its forecasts ('fan_obs' from 'fan_starts') must lie within its {steps} steps")


def _check_kind(content: Any, kind: Any, where: str) -> None:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(content, kinds) or (isinstance(content, bool) and bool not in kinds):
        names = " or ".join(
            str({dict: "a mapping", list: "a list", str: "a text"}.get(each, each.__name__)) for each in kinds
        )
        raise InputError(f"{where} must be {names}, got {_shown(content)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
