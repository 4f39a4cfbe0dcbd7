"""Finished runs as scores see them: one seed, and seeds whose settings are otherwise the same, with their scores."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from handful.scores.learning_curves import AXES, Curve, Estimate, estimate, interquartile_mean, mean

TOGETHER = "side by side"  # the setting of seeds that learned in one program
FEW = 4  # seeds, below which the interquartile mean leaves none out


@dataclass(frozen=True)
class SeedRun:
    """One seed of a run."""

    path: Path
    task: str
    settings: Mapping[str, str]
    curve: Curve
    device: str | None


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ in nothing but their seeds. They are compared up to the last trial that all of them have."""

    label: str
    runs: Sequence[SeedRun]
    threshold: float | None = None  # the return to reach

    @property
    def seeds(self) -> int:
        return len(self.runs)

    @property
    def task(self) -> str:
        return self.runs[0].task

    @property
    def agent(self) -> str:
        return self.runs[0].settings.get("agent", "not recorded")

    @property
    def together(self) -> bool:
        return TOGETHER in self.runs[0].settings

    @cached_property
    def trials(self) -> int:
        """Trials that all runs have, the random one included."""
        return min(len(run.curve) for run in self.runs)

    @cached_property
    def curves(self) -> list[Curve]:
        """Each run up to the trials that all of them have."""
        return [run.curve.first(self.trials) for run in self.runs]

    @cached_property
    def returns(self) -> Float[np.ndarray, "s"]:
        return np.array([curve.returns[-1] for curve in self.curves])

    @cached_property
    def steps(self) -> Float[np.ndarray, "s"]:
        return np.array([curve.env_steps[-1] for curve in self.curves])

    @cached_property
    def mean(self) -> Estimate:
        return estimate(self.returns, mean)

    @cached_property
    def iqm(self) -> Estimate:
        return estimate(self.returns, interquartile_mean)

    def after(self, steps: float) -> Estimate:
        """The mean of the last trials that had ended after so many steps."""
        return estimate(np.array([curve.held("env_steps", np.array([steps]))[0] for curve in self.curves]), mean)

    @property
    def std(self) -> float:
        """Over seeds; infinite where a return is."""
        return float(self.returns.std()) if np.isfinite(self.returns).all() else np.inf

    @cached_property
    def reached(self) -> dict[str, Float[np.ndarray, "s"]]:
        """Steps and seconds [s] of each seed to the threshold, by axis; infinity where it never reached it."""
        wanted = np.inf if self.threshold is None else self.threshold
        return {axis: np.array([curve.reached(axis, wanted) for curve in self.curves]) for axis in AXES}

    @property
    def reached_count(self) -> int:
        return int(np.isfinite(self.reached["env_steps"]).sum())

    def as_row(self, common: float) -> dict[str, Any]:
        """All scores by name, for a table; `common` are steps that all seeds have taken, `inf` stands for never."""
        row: dict[str, Any] = {"seeds": self.seeds, "trials": self.trials - 1}
        row |= {"env_steps_least": int(self.steps.min()), "env_steps_most": int(self.steps.max())}
        for name, value in {"mean": self.mean, "iqm": self.iqm, "mean_at_common_steps": self.after(common)}.items():
            row |= {name: value.middle, f"{name}_low": value.low, f"{name}_high": value.high}
        row |= {"std": self.std, "least": float(self.returns.min()), "most": float(self.returns.max())}
        if self.threshold is None:
            return row
        row |= {"threshold": self.threshold, "reached": self.reached_count}
        for name, reached in zip(("steps", "wall_s"), self.reached.values(), strict=True):
            for which, of in {"median": np.median, "least": np.min, "most": np.max}.items():
                row[f"{name}_to_threshold_{which}"] = float(of(reached))
        return row


def remarks(groups: Sequence[SeedGroup]) -> Iterator[str]:
    """Limits of the comparison, in sentences."""
    threshold = groups[0].threshold
    for group in groups:
        label, seeds = group.label, group.seeds
        yield from unequal_seeds(group)
        if seeds < FEW:
            limit = "its interval is too narrow" if seeds > 1 else "it has no interval"
            yield f"{label} has {seeds} seed{'s' * (seeds > 1)}: its interquartile mean is the mean, and {limit}."
        if group.together:
            yield f"Seeds of {label} learned side by side: their wall-clock is that of all of them together."
        if threshold is not None and group.reached_count < seeds:
            yield f"{seeds - group.reached_count} of {seeds} seeds of {label} never reached {threshold:g}."
    if threshold is None:
        yield "No solved threshold is defined for this task; set one with --threshold."
    devices = {run.device for group in groups for run in group.runs if run.device}
    if len(devices) > 1:
        yield f"Wall-clock is of different machines: {'; '.join(sorted(devices))}."


def unequal_seeds(group: SeedGroup) -> Iterator[str]:
    """Sentences on trials that not all seeds have, and on seeds that repeat."""
    lengths = [len(run.curve) for run in group.runs]
    if max(lengths) > group.trials:
        text = (
            f"Seeds of {group.label} have from {min(lengths) - 1} to {max(lengths) - 1} trials; curves and tables end"
        )
        yield f"{text} with trial {group.trials - 1}, which all of them have."
    twice = [seed for seed, count in Counter(curve.seed for curve in group.curves).items() if count > 1]
    if twice:
        yield f"{group.label} holds seed {twice[0]} more than once: such runs are no independent samples."
