"""Where a group of seeds stands: its last return with intervals, and what it took to reach a threshold."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from handful.evaluation.learning_curves import Estimate, estimate, interquartile_mean, mean
from handful.evaluation.run_groups import TOGETHER, Group

FEW = 4  # seeds, below which nothing is cut off for the interquartile mean


@dataclass(frozen=True)
class Standing:
    """A group after the last trial that all of its seeds have."""

    group: Group
    mean: Estimate
    iqm: Estimate
    at_common: Estimate  # the mean after as many steps as every seed of every group has taken
    reached_steps: list[float]  # for each seed; infinity where it never reached the threshold
    reached_wall: list[float]  # [s]

    @classmethod
    def of(cls, group: Group, common: float, threshold: float | None) -> "Standing":
        """`common` steps have been taken by every seed that is compared."""
        last = np.array([curve.returns[-1] for curve in group.curves])
        early = np.array([curve.held("env_steps", np.array([common]))[0] for curve in group.curves])
        wanted = np.inf if threshold is None else threshold
        return cls(
            group,
            estimate(last, mean),
            estimate(last, interquartile_mean),
            estimate(early, mean),
            [curve.reached("env_steps", wanted) for curve in group.curves],
            [curve.reached("wall_s", wanted) for curve in group.curves],
        )

    @property
    def seeds(self) -> int:
        return len(self.group.runs)

    @property
    def returns(self) -> Float[np.ndarray, "s"]:
        return np.array([curve.returns[-1] for curve in self.group.curves])

    @property
    def std(self) -> float:
        """Over seeds; infinite where a return is."""
        return float(self.returns.std()) if np.isfinite(self.returns).all() else np.inf

    @property
    def steps(self) -> Float[np.ndarray, "s"]:
        return np.array([curve.env_steps[-1] for curve in self.group.curves])

    @property
    def reached_count(self) -> int:
        return int(np.isfinite(self.reached_steps).sum())

    def as_row(self, threshold: float | None) -> dict[str, Any]:
        """All of it, by name, for a table; `inf` stands for never."""
        row: dict[str, Any] = {
            "group": self.group.label,
            "seeds": self.seeds,
            "trials": self.group.trials - 1,
            "env_steps_least": int(self.steps.min()),
            "env_steps_most": int(self.steps.max()),
        }
        for name, value in (("mean", self.mean), ("iqm", self.iqm), ("mean_at_common_steps", self.at_common)):
            row |= {name: value.middle, f"{name}_low": value.low, f"{name}_high": value.high}
        row |= {"std": self.std, "least": float(self.returns.min()), "most": float(self.returns.max())}
        if threshold is None:
            return row
        row |= {"threshold": threshold, "reached": self.reached_count}
        for name, reached in (("steps", self.reached_steps), ("wall_s", self.reached_wall)):
            row[f"{name}_to_threshold_median"] = float(np.median(reached))
            row |= {f"{name}_to_threshold_least": min(reached), f"{name}_to_threshold_most": max(reached)}
        return row


def remarks(standings: Sequence[Standing], threshold: float | None) -> list[str]:
    """What a reader should know before believing the numbers."""
    told = []
    for standing in standings:
        group = standing.group
        told += doubts(group)
        if standing.seeds < FEW:
            told.append(
                f"{group.label} has {standing.seeds} seed{'s' if standing.seeds > 1 else ''}: its interquartile mean "
                "is the mean, and " + ("its interval is too narrow." if standing.seeds > 1 else "it has no interval.")
            )
        if TOGETHER in group.runs[0].settings:
            told.append(
                f"Seeds of {group.label} learned side by side: their wall-clock is that of all of them together."
            )
        never = standing.seeds - standing.reached_count
        if threshold is not None and never:
            told.append(f"{never} of {standing.seeds} seeds of {group.label} never reached {threshold:g}.")
    if threshold is None:
        told.append("What return counts as solved is not laid down for this task; --threshold names one.")
    devices = {run.device for standing in standings for run in standing.group.runs if run.device}
    if len(devices) > 1:
        told.append(f"Wall-clock is of different machines: {'; '.join(sorted(devices))}.")
    return told


def doubts(group: Group) -> list[str]:
    """Where the seeds of a group are not so many samples of one kind."""
    told, lengths = [], [len(run.curve) for run in group.runs]
    if max(lengths) > group.trials:
        told.append(
            f"Seeds of {group.label} have from {min(lengths) - 1} to {max(lengths) - 1} trials; curves and tables "
            f"end with trial {group.trials - 1}, which all of them have."
        )
    twice = [seed for seed, count in Counter(curve.seed for curve in group.curves).items() if count > 1]
    if twice:
        told.append(f"{group.label} holds seed {twice[0]} more than once: such runs are no independent samples.")
    return told
