"""Progress of a run on the terminal."""

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from handful.training.loop import Observer, Stage
from handful.training.run import Row, columns_of
from handful.training.tally import Recorded, Tally

BARS = "▁▂▃▄▅▆▇█"
SHOWN = 60  # stages in the row of bars


@dataclasses.dataclass(frozen=True)
class Words:
    """Names of the stages of a run."""

    unit: str
    first: str  # stage 0
    actor: str  # in stage 0


TRIALS = Words("trial", "a random one", "random actions")
ROUNDS = Words("round", "a trial of the untrained policy", "untrained policy")


def observer_for(
    folder: Path | None, task: str, stages: int, steps: int, *, words: Words = TRIALS, check: Callable[[], Any] = int
) -> "PlainProgress | LiveProgress":
    """A live display on a terminal, plain lines elsewhere. A stage lasts `steps` steps at most.

    `check` is called where a run may be stopped: before a fit, after it and between steps, not before a stage is saved.
    """
    console = Console(file=sys.stdout)
    kind = LiveProgress if console.is_terminal else PlainProgress
    return kind(console, folder, task, stages, steps, words, check)


@dataclasses.dataclass
class PlainProgress(Observer):
    """One line a stage; with several seeds, of their mean return and the least."""

    console: Console
    folder: Path | None
    task: str
    stages: int
    steps: int  # of a stage, at most
    words: Words = TRIALS
    check: Callable[[], Any] = int

    def __post_init__(self) -> None:
        self.stage_seconds: list[float] = []  # of stages after stage 0 in this sitting
        self.stage_began = time.perf_counter()
        self.means: dict[str, Any] = {}  # of the last stage
        self.failed = False  # whether the display has been switched off

    def __enter__(self) -> "PlainProgress":
        into = "" if self.folder is None else f", into {self.folder}"
        self.say(f"{self.task}: {self.stages} {self.words.unit}s after {self.words.first}{into}")
        return self

    def __exit__(self, *error: object) -> None: ...

    def say(self, text: str) -> None:
        """Show a line. A display that fails is switched off, with a word, and never ends a run."""
        if self.failed:
            return
        try:
            self.console.print(text, highlight=False, soft_wrap=True, markup=False)
            self.console.file.flush()
        except (OSError, ValueError, SystemExit) as error:  # the last is what rich makes of a broken pipe
            self.failed = True
            kept = "" if self.folder is None else f" into {self.folder}"
            with contextlib.suppress(OSError, ValueError):
                reason = getattr(error, "strerror", None) or "its reader has closed it"
                sys.stderr.write(f"handful: the output cannot be written ({reason}); the run goes on{kept}\n")

    def fitting(self, stage: int) -> None:
        self.check()

    def fitted(self, stage: int, metrics: Mapping[int, Recorded], seconds: float) -> None:
        self.check()
        for seed, own in metrics.items():
            if "diverged" in own and bool(np.any(own["diverged"])):
                who = f", seed {seed}" if len(metrics) > 1 else ""
                self.say(f"{self.words.unit} {stage}{who}: {divergence(own['diverged'])}")

    def stepped(self, stage: int, tallies: Mapping[int, Tally], step_ms: float) -> None:
        self.check()

    def finished(self, stages: Mapping[int, Stage]) -> None:
        rows, now = [stage.row for stage in stages.values()], time.perf_counter()
        stage, self.means = rows[0].trial, mean_of(rows)
        if stage > 0:
            self.stage_seconds.append(now - self.stage_began)
        self.stage_began = now
        remark = _remark([row.return_ for row in rows])
        self.say(f"{_line(stage, self.means, remark, self.words)}  {self._left(stage)}".rstrip())

    def _left(self, done: int) -> str:
        """Time that the stages after `done` will take, estimated from the second on; the first one also compiles."""
        recent = self.stage_seconds[1:][-3:]
        if not recent or done >= self.stages:
            return ""
        seconds = (self.stages - done) * sum(recent) / len(recent) - (time.perf_counter() - self.stage_began)
        return f"{_duration(max(seconds, 0.0))} left"


class LiveProgress(PlainProgress):
    """A line a stage, and below them the stage in progress."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.returns: list[float] = []
        self.doing: RenderableType = Text("")
        self.live = Live(get_renderable=self._view, console=self.console, refresh_per_second=8, transient=True)

    def __enter__(self) -> "LiveProgress":
        super().__enter__()
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def say(self, text: str) -> None:
        self.doing = Text("")
        super().say(text)

    def fitting(self, stage: int) -> None:
        super().fitting(stage)
        self.doing = Spinner("dots", Text(f"{self._place(stage)}  learning from the data so far", style="dim"))

    def stepped(self, stage: int, tallies: Mapping[int, Tally], step_ms: float) -> None:
        super().stepped(stage, tallies, step_ms)
        returns = [tally.return_ for tally in tallies.values()]
        plans = [tally.planned for tally in tallies.values() if tally.planned is not None]
        steps = max(tally.steps for tally in tallies.values())
        place, bar = Table.grid(padding=(0, 2)), ProgressBar(self.steps, steps, width=28)
        place.add_row(self._place(stage), bar, f"step {steps}/{self.steps}", Text(self._left(stage - 1), style="dim"))
        so_far = Text("return so far ")
        so_far.append(f"{np.mean(returns):.1f}", style="bold").append(_remark(returns))
        if stage == 0:
            so_far.append(f"  {self.words.actor}", style="dim")
        elif plans:
            so_far.append(f"  planned for the next steps {np.mean(plans):.1f}  {step_ms:.1f} ms a plan")
        if (nll := self.means.get("model_nll")) is not None:
            so_far.append(f"  model NLL {nll:.2f}")
        self.doing = Group(place, so_far)

    def finished(self, stages: Mapping[int, Stage]) -> None:
        super().finished(stages)
        self.returns.append(self.means["return"])

    def _place(self, stage: int) -> str:
        return f"{self.words.unit} {stage}/{self.stages}"

    def _view(self) -> RenderableType:
        return Group(self.doing, _bars(self.returns)) if self.returns else self.doing


def divergence(diverged: Any) -> str:
    """A sentence on members whose fit diverged."""
    names = ", ".join(str(i) for i in np.nonzero(np.atleast_1d(diverged))[0].tolist())
    return f"the fit of member {names} diverged; its last good weights are kept"


def mean_of(rows: Collection[Row]) -> dict[str, float | None]:
    """The mean over seeds of each column; None where any is None."""
    columns = [columns_of(row) for row in rows]
    each: dict[str, list[Any]] = {name: [row.get(name) for row in columns] for name in columns[0]}
    return {name: None if None in values else float(np.mean(values)) for name, values in each.items()}


def _remark(returns: Collection[float]) -> str:
    return f" mean, {min(returns):.1f} least of {len(returns)}" if len(returns) > 1 else ""


def _line(stage: int, means: Mapping[str, Any], remark: str, words: Words) -> str:
    """A finished stage in one line."""
    if stage == 0:
        return f"{words.unit}  0  return {means['return']:8.1f}{remark}  {words.actor}"
    parts = [f"{words.unit} {stage:2d}  return {means['return']:8.1f}{remark}"]
    planned, nll, plan_ms = (means.get(name) for name in ("planned_return", "model_nll", "plan_ms_p50"))
    if planned is not None:
        parts.append(f"planned {planned:8.1f}")
    if nll is not None:
        parts.append(f"model NLL {nll:6.2f}")
    if plan_ms is not None:
        what = "an action" if planned is None else "a plan"
        parts.append(f"fit {means['fit_s']:4.1f} s  {plan_ms:5.1f} ms {what}")
    else:
        parts.append(f"{means['env_steps']:,.0f} steps".replace(",", "\N{THIN SPACE}"))
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
