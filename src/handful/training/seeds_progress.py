"""Many seeds on the display of one run: their mean, and the least of them."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from handful.models.base import FitReport
from handful.training.loop import Trial
from handful.training.progress import LiveProgress, PlainProgress, divergence
from handful.training.run import Row
from handful.training.seeds import Going


class SeedsProgress:
    """Shows what seeds side by side come to. `check` is called wherever they may be stopped."""

    def __init__(self, display: PlainProgress | LiveProgress, check: Callable[[], None]) -> None:
        self.display, self.check = display, check

    def fitting(self, trial: int) -> None:
        self.check()
        self.display.fitting(trial)

    def fitted(self, trial: int, reports: dict[int, FitReport], seconds: float) -> None:
        self.check()
        for seed, report in reports.items():
            if bool(report.diverged.any()):
                self.display.say(f"trial {trial}, seed {seed}: {divergence(report)}")

    def stepped(self, trial: int, tallies: Mapping[int, Going], step_ms: float) -> None:
        self.check()
        returns = [tally.return_ for tally in tallies.values()]
        planned = [tally.planned for tally in tallies.values() if tally.planned is not None]
        steps = max(tally.steps for tally in tallies.values())
        mean = float(np.mean(planned)) if planned else None
        self.display.stepped(trial, steps, float(np.mean(returns)), mean, step_ms, remark=_remark(returns))

    def finished(self, trials: dict[int, Trial]) -> None:
        rows = [trial.row for trial in trials.values()]
        self.display.finished(Trial(mean_of(rows), {}, None), _remark([row.return_ for row in rows]))


def mean_of(rows: Collection[Row]) -> Row:
    """The mean of each column; None where it is None."""
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in dataclasses.fields(Row)}
    means: dict[str, Any] = {
        name: None if None in column else type(column[0])(np.mean(column)) for name, column in columns.items()
    }
    return Row(**means)


def _remark(returns: Collection[float]) -> str:
    return f" mean, {min(returns):.1f} least of {len(returns)}"
