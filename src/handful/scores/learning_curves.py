"""Learning curves over seeds: mean and interquartile mean with intervals, and steps or time to a return."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float

Axis = Literal["env_steps", "wall_s"]
AXES: tuple[Axis, ...] = get_args(Axis)
Statistic = Callable[[Float[np.ndarray, "*b s"]], Float[np.ndarray, "*b"]]  # over seeds

LEVEL = 0.95  # of the intervals
RESAMPLES = 2000


@dataclass(frozen=True)
class Curve:
    """The returns of one seed, trial by trial."""

    seed: int
    env_steps: Float[np.ndarray, "t"]  # of interaction, at the end of the trial
    wall_s: Float[np.ndarray, "t"]  # [s] since the start of the run, at the end of the trial
    returns: Float[np.ndarray, "t"]  # minus infinity where a return is not finite

    def __len__(self) -> int:
        return len(self.returns)

    def first(self, trials: int) -> "Curve":
        """The curve of the first trials."""
        return Curve(self.seed, self.env_steps[:trials], self.wall_s[:trials], self.returns[:trials])

    def held(self, axis: Axis, at: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
        """The return of the last trial that had ended by then; NaN before the first.

        >>> curve = Curve(3, np.array([5.0, 9.0]), np.array([0.7, 1.9]), np.array([-2.0, 4.0]))
        >>> curve.held("env_steps", np.array([5.0, 8.0, 9.0, 70.0])).tolist()
        [-2.0, -2.0, 4.0, 4.0]
        """
        last = np.searchsorted(getattr(self, axis), at, side="right") - 1
        return np.where(last < 0, np.nan, self.returns[np.maximum(last, 0)])

    def reached(self, axis: Axis, threshold: float) -> float:
        """The end of the first trial with a return of at least the threshold; infinity where there is none."""
        return float(min(getattr(self, axis)[self.returns >= threshold], default=np.inf))


class Estimate(NamedTuple):
    """A statistic over seeds with its interval."""

    middle: float
    low: float  # NaN with a single seed
    high: float


def band(
    curves: Sequence[Curve], axis: Axis, statistic: Statistic
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "3 k"]]:
    """The ends of all trials, once all seeds have one, and estimates there; returns are held until the next end.

    If all trials have one length, that is once for each trial, and nothing is held.
    """
    begins = max(getattr(curve, axis)[0] for curve in curves)
    ends = np.unique(np.concatenate([getattr(curve, axis) for curve in curves]))
    at = ends[ends >= begins]
    values = np.stack([curve.held(axis, at) for curve in curves], axis=1)
    return at, np.array([estimate(each, statistic) for each in values]).T


def estimate(values: Float[np.ndarray, "s"], statistic: Statistic) -> Estimate:
    """The statistic of one number a seed."""
    return Estimate(float(statistic(values[None])[0]), *interval(values, statistic))


def mean(values: Float[np.ndarray, "*b s"]) -> Float[np.ndarray, "*b"]:
    """The mean over seeds."""
    return values.mean(-1)


def interquartile_mean(values: Float[np.ndarray, "*b s"]) -> Float[np.ndarray, "*b"]:
    """The mean over the seeds without the `floor(s / 4)` least and as many greatest.

    >>> interquartile_mean(np.array([[-90.0, 1.0, 3.0, 8.0, 70.0]])).tolist()
    [4.0]

    Source: [Agarwal21] section 4.3. Deviates: no.
    """
    count = values.shape[-1]
    return np.sort(values)[..., count // 4 : count - count // 4].mean(-1)


def interval(
    values: Float[np.ndarray, "s"], statistic: Statistic, *, level: float = LEVEL, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The percentile bootstrap interval of the statistic, over seeds resampled with replacement.

    Always with the same random numbers. NaN with a single seed.

    Source: [Agarwal21] section 4.1. Deviates: a comparison is of one task, so there is one stratum, the group.
    """
    if len(values) < 2:
        return np.nan, np.nan
    drawn = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    redone = np.sort(statistic(values[drawn]))
    outside = int(resamples * (1 - level) / 2)  # resamples beyond either end
    return float(redone[outside]), float(redone[-1 - outside])
