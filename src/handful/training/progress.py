"""What a person watches while a run goes on."""

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from handful.models.base import FitReport
from handful.training.loop import Trial


def observer_for(folder: Path, task: str, trials: int) -> "PlainProgress | LiveProgress":
    """A live display on a terminal, plain lines elsewhere."""
    console = Console(file=sys.stdout)
    kind = LiveProgress if console.is_terminal else PlainProgress
    return kind(console, folder, task, trials)


class PlainProgress:
    """One line a trial."""

    def __init__(self, console: Console, folder: Path, task: str, trials: int) -> None:
        self.console, self.folder, self.task, self.trials = console, folder, task, trials
        self.began = time.perf_counter()
        self.trial_seconds: list[float] = []
        self.trial_began = self.began

    def __enter__(self) -> Self:
        self.say(f"{self.task}: {self.trials} trials after a random one, into {self.folder}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def fitting(self, trial: int) -> None: ...

    def fitted(self, trial: int, report: FitReport, seconds: float) -> None:
        if bool(report.diverged.any()):
            names = ", ".join(str(i) for i in report.diverged.nonzero()[0].tolist())
            self.say(f"trial {trial}: the fit of member {names} diverged; its last good weights are kept")

    def stepped(self, trial: int, steps: int, return_: float, planned: float | None, step_ms: float) -> None: ...

    def finished(self, trial: Trial) -> None:
        now = time.perf_counter()
        self.trial_seconds.append(now - self.trial_began)
        self.trial_began = now
        self.say(f"{_line(trial)}  {self._left(trial.row.trial)}".rstrip())

    def _left(self, trial: int) -> str:
        remaining = self.trials - trial
        recent = self.trial_seconds[-3:]
        return f"{remaining * sum(recent) / len(recent):.0f} s left" if remaining > 0 else ""


class LiveProgress(PlainProgress):
    """A line a trial, and below them the trial in progress."""

    def __init__(self, console: Console, folder: Path, task: str, trials: int) -> None:
        super().__init__(console, folder, task, trials)
        self.live = Live(Text(), console=console, refresh_per_second=10, transient=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def fitting(self, trial: int) -> None:
        self.live.update(Text(f"trial {trial}  fitting the model to what was seen ...", style="dim"))

    def stepped(self, trial: int, steps: int, return_: float, planned: float | None, step_ms: float) -> None:
        line = Text(f"trial {trial}  step {steps}  return so far ")
        line.append(f"{return_:.1f}", style="bold")
        if planned is not None:
            line.append(f"  next steps should bring {planned:.1f}  {step_ms:.1f} ms a plan")
        line.append(f"  {self._left(trial - 1)}" if self.trial_seconds else "", style="dim")
        self.live.update(line)


def _line(trial: Trial) -> str:
    """A finished trial in one line."""
    row = trial.row
    if row.trial == 0:
        return f"trial  0  return {row.return_:8.1f}  random actions"
    parts = [f"trial {row.trial:2d}  return {row.return_:8.1f}"]
    if row.planned_return is not None:
        parts.append(f"planned {row.planned_return:8.1f}")
    if row.model_nll is not None:
        parts.append(f"model NLL {row.model_nll:6.2f}")
    parts.append(f"fit {row.fit_s:4.1f} s  {row.plan_ms_p50:5.1f} ms a plan")
    return "  ".join(parts)
