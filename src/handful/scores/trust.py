"""The rule by which a model counts as trusted, so many steps ahead."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from handful.scores.baselines import Baselines

COVERED = 0.8  # least coverage of the 90 % band: below it, misses are twice as frequent as predicted
PREDICTED = 0.5  # least share of an entry's squared change that the mean predicts; no change predicts 0
BEHIND = 0.1  # of the squared change: the most by which a linear model may predict more
ROUNDING = 2 * float(np.finfo(np.float32).eps)  # of an entry's greatest magnitude: smaller changes are none


@dataclass(frozen=True)
class Trust:
    """Up to how many steps ahead a model is trusted, and what ends it."""

    steps: int
    failed: tuple[str, ...]  # limbs, at the step after these; empty where it is trusted over all steps that were tried
    entry: int | None  # of the observation, where a limb of the error failed: the one predicted worst


def trust(
    coverage: Float[np.ndarray, "h o"],
    nrmse: Float[np.ndarray, "h o"],
    known: Baselines,
) -> Trust:
    """The steps ahead before one of three limbs first fails.

    - coverage: the 90 % band contains at least `COVERED` of the measurements, over all entries.
    - unchanged: in every entry, the mean predicts at least `PREDICTED` of the squared change since the start, that is
      `1 - (RMSE / RMSE of no change)^2`. A band may be honest and too wide to plan with: this limb sees it.
    - linear: in no entry does a linear model that was fitted to the same trials predict more, by over `BEHIND`.

    `nrmse` is of the model's mean. Errors are compared in the units of the data, each entry's with its own, so the rule
    gives the same in all units. An entry that does not change, up to the rounding of its greatest magnitude, has no
    unit to judge errors by, and passes both limbs of the error.
    """
    moves, errors = known.unchanged > ROUNDING * known.size, (known.in_units(nrmse), known.linear)
    predicted, by_linear = (np.where(moves, predicted_share(rmse, known), 1.0) for rmse in errors)
    limbs = {
        "coverage": coverage.mean(1) >= COVERED,
        "unchanged": (predicted >= PREDICTED).all(1),
        "linear": (predicted >= by_linear - BEHIND).all(1),
    }
    good = np.logical_and.reduce(list(limbs.values()))
    steps = int(np.cumprod(good).sum())
    if steps == len(good):
        return Trust(steps, (), None)
    failed = tuple(limb for limb, held in limbs.items() if not held[steps])
    lacking = {"unchanged": -predicted[steps], "linear": by_linear[steps] - predicted[steps]}
    worst = next((int(np.argmax(lacking[limb])) for limb in failed if limb in lacking), None)
    return Trust(steps, failed, worst)


def predicted_share(rmse: Float[np.ndarray, "h o"], known: Baselines) -> Float[np.ndarray, "h o"]:
    """The share of each entry's squared change that is predicted: 1 exact, 0 no better than no change."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return np.nan_to_num(1 - (rmse / known.unchanged) ** 2, nan=-np.inf)
