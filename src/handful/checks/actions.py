"""Checks that every action has an effect, and that the limits are those of the environment."""

import gymnasium
import numpy as np
from jaxtyping import Float

from handful.checks.finding import Finding
from handful.checks.trials import LEVELS, SHORT, Trials
from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv

SAME = 1e-6  # of an entry's std: rounding errors


def actions(env: AbstractEnv | GymnasiumEnv, trials: Trials, size: int, *, repeats: bool) -> Finding:
    """Compares the short trials; impossible where the same seed does not give the same trial."""
    if not repeats:
        return Finding("actions", "the same seed gives other trials, so none can be compared", "unknown")
    seen = trials.seen
    scale = np.maximum(np.concatenate([seen.obs, seen.next_obs])[:, :size].std(0), 1e-9)
    paths = [recording.next_obs[:, :size] / scale for recording in trials.short]
    faults = _categories(paths) if env.task.categorical else _entries(paths)
    if faults:
        return Finding("actions", "; ".join(faults), "off")
    found = (
        "each category has another effect"
        if env.task.categorical
        else "each entry has more effect at its limits than half way there"
    )
    return Finding("actions", "; ".join([found, *_transformed(env)]), "ok")


def _entries(paths: list[Float[np.ndarray, "_ o"]]) -> list[str]:
    """`paths` are of the middle, then of each entry at each level."""
    middle, rest, faults = paths[0], paths[1:], []
    for entry in range(len(rest) // len(LEVELS)):
        low, half_low, half_high, high = rest[entry * len(LEVELS) : (entry + 1) * len(LEVELS)]
        if all(_same(path, middle) for path in (low, half_low, half_high, high)):
            faults.append(f"entry {entry} has no effect within {SHORT} steps")
            continue
        for limit, half, end in (("lower", half_low, low), ("upper", half_high, high)):
            if _same(half, end):
                same = f"entry {entry} has the same effect at its {limit} limit as half way there"
                faults.append(f"{same}: it is clipped within its limits")
    return faults


def _categories(paths: list[Float[np.ndarray, "_ o"]]) -> list[str]:
    alike = [(one, other) for other in range(len(paths)) for one in range(other) if _same(paths[one], paths[other])]
    return [f"categories {one} and {other} have the same effect within {SHORT} steps" for one, other in alike]


def _transformed(env: AbstractEnv | GymnasiumEnv) -> list[str]:
    """Names of wrappers that transform actions."""
    layer, found = (None if isinstance(env, AbstractEnv) else env.env), []
    while isinstance(layer, gymnasium.Wrapper):
        found += [f"{type(layer).__name__} transforms them"] * isinstance(layer, gymnasium.ActionWrapper)
        layer = layer.env
    return found


def _same(one: Float[np.ndarray, "t o"], other: Float[np.ndarray, "s o"]) -> bool:
    return one.shape == other.shape and bool((np.abs(one - other) <= SAME).all())
