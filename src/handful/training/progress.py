"""What a person watches while a run goes on."""

import dataclasses
import math
import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from handful.models.base import FitReport
from handful.training.loop import Trial

BARS = "▁▂▃▄▅▆▇█"
SHOWN = 60  # trials in the row of bars


@dataclasses.dataclass(frozen=True)
class Words:
    """What the parts of a run are called."""

    unit: str
    first: str  # what the one with number 0 is
    who: str  # acts in it


TRIALS = Words("trial", "a random one", "random actions")
ROUNDS = Words("round", "a trial of the untrained policy", "untrained policy")


def observer_for(
    folder: Path, task: str, trials: int, steps: int, *, words: Words = TRIALS
) -> "PlainProgress | LiveProgress":
    """A live display on a terminal, plain lines elsewhere. A trial lasts `steps` steps at most."""
    console = Console(file=sys.stdout)
    kind = LiveProgress if console.is_terminal else PlainProgress
    return kind(console, folder, task, trials, steps, words=words)


class PlainProgress:
    """One line a trial. A `remark` stands behind the return."""

    def __init__(
        self, console: Console, folder: Path, task: str, trials: int, steps: int, *, words: Words = TRIALS
    ) -> None:
        self.console, self.folder, self.task, self.trials, self.steps = console, folder, task, trials, steps
        self.words = words
        self.trial_seconds: list[float] = []  # of controlled trials in this sitting
        self.trial_began = time.perf_counter()

    def __enter__(self) -> "PlainProgress":
        self.say(f"{self.task}: {self.trials} {self.words.unit}s after {self.words.first}, into {self.folder}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def fitting(self, trial: int) -> None: ...

    def fitted(self, trial: int, report: FitReport, seconds: float) -> None:
        if bool(report.diverged.any()):
            self.say(f"{self.words.unit} {trial}: {divergence(report)}")

    def stepped(
        self, trial: int, steps: int, return_: float, planned: float | None, step_ms: float, *, remark: str = ""
    ) -> None: ...

    def finished(self, trial: Trial, remark: str = "") -> None:
        now = time.perf_counter()
        if trial.row.trial > 0:
            self.trial_seconds.append(now - self.trial_began)
        self.trial_began = now
        self.say(f"{_line(trial, remark, self.words)}  {self._left(trial.row.trial)}".rstrip())

    def _left(self, done: int) -> str:
        """How long the trials after `done` will take, once the second has told; the first one also compiles."""
        recent = self.trial_seconds[1:][-3:]
        if not recent or done >= self.trials:
            return ""
        seconds = (self.trials - done) * sum(recent) / len(recent) - (time.perf_counter() - self.trial_began)
        return f"{_duration(max(seconds, 0.0))} left"


class LiveProgress(PlainProgress):
    """A line a trial, and below them the trial in progress."""

    def __init__(
        self, console: Console, folder: Path, task: str, trials: int, steps: int, *, words: Words = TRIALS
    ) -> None:
        super().__init__(console, folder, task, trials, steps, words=words)
        self.returns: list[float] = []
        self.nll: float | None = None
        self.doing: RenderableType = Text("")
        self.trial = 0
        self.live = Live(get_renderable=self._view, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> "LiveProgress":
        super().__enter__()
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def say(self, text: str) -> None:
        self.doing = Text("")
        super().say(text)

    def fitting(self, trial: int) -> None:
        self.trial = trial
        self.doing = Spinner("dots", Text(f"{self._place(trial)}  learning from what was seen", style="dim"))

    def stepped(
        self, trial: int, steps: int, return_: float, planned: float | None, step_ms: float, *, remark: str = ""
    ) -> None:
        self.trial = trial
        place = Table.grid(padding=(0, 2))
        place.add_row(
            self._place(trial),
            ProgressBar(self.steps, steps, width=28),
            f"step {steps}/{self.steps}",
            Text(self._left(trial - 1), style="dim"),
        )
        so_far = Text("return so far ")
        so_far.append(f"{return_:.1f}", style="bold").append(remark)
        if trial == 0:
            so_far.append(f"  {self.words.who}", style="dim")
        elif planned is not None:
            so_far.append(f"  planned for the next steps {planned:.1f}  {step_ms:.1f} ms a plan")
        if self.nll is not None:
            so_far.append(f"  model NLL {self.nll:.2f}")
        self.doing = Group(place, so_far)

    def finished(self, trial: Trial, remark: str = "") -> None:
        super().finished(trial, remark)
        self.returns.append(trial.row.return_)
        self.nll = trial.row.model_nll

    def _place(self, trial: int) -> str:
        return f"{self.words.unit} {trial}/{self.trials}"

    def _view(self) -> RenderableType:
        return Group(self.doing, _bars(self.returns)) if self.returns else self.doing


def divergence(report: FitReport) -> str:
    """What to say of members whose fit diverged."""
    names = ", ".join(str(i) for i in report.diverged.nonzero()[0].tolist())
    return f"the fit of member {names} diverged; its last good weights are kept"


def _line(trial: Trial, remark: str, words: Words) -> str:
    """A finished trial in one line."""
    row = trial.row
    if row.trial == 0:
        return f"{words.unit}  0  return {row.return_:8.1f}{remark}  {words.who}"
    parts = [f"{words.unit} {row.trial:2d}  return {row.return_:8.1f}{remark}"]
    if row.planned_return is not None:
        parts.append(f"planned {row.planned_return:8.1f}")
    if row.model_nll is not None:
        parts.append(f"model NLL {row.model_nll:6.2f}")
    if row.plan_ms_p50 is not None:
        what = "an action" if row.planned_return is None else "a plan"
        parts.append(f"fit {row.fit_s:4.1f} s  {row.plan_ms_p50:5.1f} ms {what}")
    else:
        parts.append(f"{row.env_steps:,} steps".replace(",", "\N{THIN SPACE}"))
    return "  ".join(parts)


def _bars(returns: list[float]) -> Text:
    """The learning curve in one row of text."""
    shown = returns[-SHOWN:]
    known = [value for value in shown if math.isfinite(value)] or [0.0]
    low, span = min(known), max(known) - min(known) or 1.0
    heights = [round((len(BARS) - 1) * (value - low) / span) if math.isfinite(value) else 0 for value in shown]
    text = Text("returns ", style="dim").append("".join(BARS[height] for height in heights), style="cyan")
    return text.append(f" best {max(known):.1f}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
