"""Whether a run fits into memory: an estimate from its options, before anything is made."""

import itertools
import math
from pathlib import Path
from typing import Any

from handful.agents.options.filled import flag
from handful.errors import InputError

LARGEST = 2**31 - 1  # index into an array
ITEM = 4  # [bytes] of a number in single precision


def check_memory(options: Any, task: Any) -> None:
    """Raises `InputError` where a size is no array's, or arrays of these sizes are larger than the free memory."""
    for name, given in vars(options).items():
        for value in given if isinstance(given, tuple) else (given,):
            if isinstance(value, int) and value > LARGEST:
                raise InputError(f"{flag(name)} must be at most {LARGEST}, got {value}")
            if isinstance(value, int) and name.endswith("hidden") and value < 1:
                raise InputError(f"{flag(name)} must be layers of at least 1 unit, got {value}")
    free = free_bytes()
    for names, numbers in _arrays(options, task).items():
        if free is not None and ITEM * numbers > free:
            given = " and ".join(f"{flag(name)} {getattr(options, name)}" for name in names)
            raise InputError(
                f"{given} need about {_amount(ITEM * numbers)} of memory, and {_amount(free)} are free; choose less"
            )


def free_bytes() -> float | None:
    """Memory that new arrays could take; None where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return 1024 * float(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _arrays(options: Any, task: Any) -> dict[tuple[str, ...], float]:
    """The numbers in the largest arrays that options ask for, by the options that decide."""

    def size(name: str) -> float:
        value = getattr(options, name, None)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else 1.0

    hidden = {name: value or () for name, value in vars(options).items() if name.endswith("hidden")}
    widest = max([1, *(units for layers in hidden.values() for units in layers)])
    row = 2 * task.obs_size + task.action_size + 2
    found = {
        ("candidates", "particles"): size("candidates") * size("particles") * (row + widest),
        ("candidates", "horizon"): size("candidates") * size("horizon") * task.action_size,
        ("particles", "horizon"): size("particles") * size("horizon") * row,
        ("max_points",): 3 * size("max_points") ** 2,
        ("num_envs", "num_steps"): size("num_envs") * size("num_steps") * row,
        ("capacity",): size("capacity") * row,
        ("imagined_envs", "imagined_steps"): size("imagined_envs") * size("imagined_steps") * row,
        ("batch_size",): size("batch_size") * row,
        ("starts", "horizon"): size("starts") * size("horizon") * row,
        ("basis_functions",): size("basis_functions") * row,
    }
    for name, units in hidden.items():
        layers = [task.obs_size + task.action_size, *units, 2 * task.obs_size]
        weights = float(sum(before * after for before, after in itertools.pairwise(layers)))
        nets = size("members") if name == "hidden" else 1.0
        found["members", name] = found[name,] = 6 * nets * weights  # and two moments, gradients, the last good ones
    return {names: numbers for names, numbers in found.items() if all(hasattr(options, name) for name in names)}


def _amount(size: float) -> str:
    return f"{size / 2**30:,.1f} GiB" if size < 2**50 else "more than a million GiB"
