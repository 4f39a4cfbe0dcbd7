"""Do all actions do something, and does the box end where the environment's own limits are?"""

import gymnasium
import numpy as np
from jaxtyping import Float

from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.evaluation.checks.finding import Finding
from handful.evaluation.checks.trials import LEVELS, SHORT, Recording, Trials

SAME = 1e-6  # of an entry's std: rounding, where nothing else differs


def actions(env: AbstractEnv | GymnasiumEnv, trials: Trials, size: int, *, repeats: bool) -> Finding:
    """What the short trials tell; nothing where the same seed does not give the same trial."""
    if not repeats:
        return Finding("actions", "the same seed gives other trials, so none can be compared", "not told")
    seen = Recording.joined(trials.random)
    scale = np.maximum(np.concatenate([seen.obs, seen.next_obs])[:, :size].std(0), 1e-9)
    paths = [recording.next_obs[:, :size] / scale for recording in trials.short]
    faults = _categories(paths) if env.task.categorical else _entries(paths)
    if faults:
        return Finding("actions", "; ".join(faults), "off")
    found = (
        "each category does something else"
        if env.task.categorical
        else "each entry does more at its limits than half way there"
    )
    return Finding("actions", "; ".join([found, *_transformed(env)]), "ok")


def _entries(paths: list[Float[np.ndarray, "_ o"]]) -> list[str]:
    """`paths` are of the middle, then of each entry at each level."""
    middle, rest, faults = paths[0], paths[1:], []
    for entry in range(len(rest) // len(LEVELS)):
        low, half_low, half_high, high = rest[entry * len(LEVELS) : (entry + 1) * len(LEVELS)]
        if all(_same(path, middle) for path in (low, half_low, half_high, high)):
            faults.append(f"entry {entry} changes nothing within {SHORT} steps")
            continue
        for limit, half, end in (("lower", half_low, low), ("upper", half_high, high)):
            if _same(half, end):
                faults.append(
                    f"entry {entry} does the same at its {limit} limit as half way there: it is clipped within its box"
                )
    return faults


def _categories(paths: list[Float[np.ndarray, "_ o"]]) -> list[str]:
    alike = [(one, other) for other in range(len(paths)) for one in range(other) if _same(paths[one], paths[other])]
    return [f"categories {one} and {other} do the same within {SHORT} steps" for one, other in alike]


def _transformed(env: AbstractEnv | GymnasiumEnv) -> list[str]:
    """Wrappers that change actions on their way."""
    layer, found = (None if isinstance(env, AbstractEnv) else env.env), []
    while isinstance(layer, gymnasium.Wrapper):
        found += [f"{type(layer).__name__} changes them on the way"] * isinstance(layer, gymnasium.ActionWrapper)
        layer = layer.env
    return found


def _same(one: Float[np.ndarray, "t o"], other: Float[np.ndarray, "s o"]) -> bool:
    return one.shape == other.shape and bool((np.abs(one - other) <= SAME).all())
