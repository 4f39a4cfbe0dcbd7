"""Ctrl-C while a run goes on: stop at the next safe place; pressed twice, stop at once.

What is on disk is whole at any moment, so stopping at once loses no more than the trial in progress. An exception out
of a signal handler would be swallowed where it strikes inside a callback of JAX, and the run would go on.
"""

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from handful.cli.main import INTERRUPTED

if TYPE_CHECKING:
    from handful.models.base import FitReport
    from handful.training.loop import Observer, Trial


class Stoppable:
    """An observer that ends the run, by `KeyboardInterrupt`, at the first look after Ctrl-C was pressed.

    Not when a trial is finished: that one is saved first.
    """

    def __init__(self, observer: "Observer") -> None:
        self.observer = observer
        self.pressed = False

    def __enter__(self) -> "Stoppable":
        self.before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self.before)
        if error is None:
            self._check()

    def fitting(self, trial: int) -> None:
        self._check()
        self.observer.fitting(trial)

    def fitted(self, trial: int, report: "FitReport", seconds: float) -> None:
        self._check()
        self.observer.fitted(trial, report, seconds)

    def stepped(self, trial: int, steps: int, return_: float, planned: float | None, step_ms: float) -> None:
        self._check()
        self.observer.stepped(trial, steps, return_, planned, step_ms)

    def finished(self, trial: "Trial") -> None:
        self.observer.finished(trial)

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            os._exit(INTERRUPTED)
        self.pressed = True

    def _check(self) -> None:
        if self.pressed:
            raise KeyboardInterrupt


def leave_in_peace() -> int:
    """Ignore Ctrl-C from here on: nothing is left but to end. Returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.flush()
    return INTERRUPTED
