"""Ctrl-C while a run goes on: stop at the next safe place; pressed twice, stop at once.

What is on disk is whole at any moment, so stopping at once loses no more than the trial in progress. The signal
handler itself raises nothing: inside a callback of JAX an exception would be swallowed, or end the process.
"""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from handful.cli.main import INTERRUPTED

if TYPE_CHECKING:
    from handful.models.base import FitReport
    from handful.training.loop import Observer, Trial


class Stop:
    """Remembers that Ctrl-C was pressed; `check` then raises `KeyboardInterrupt`."""

    def __init__(self) -> None:
        self.pressed = False

    def __enter__(self) -> "Stop":
        self.before = signal.getsignal(signal.SIGINT)
        self.listens = self.before is not signal.SIG_IGN and threading.current_thread() is threading.main_thread()
        if self.listens:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.listens:  # after a press nothing is left but to end, and that in peace
            signal.signal(signal.SIGINT, signal.SIG_IGN if self.pressed else self.before)

    def check(self) -> None:
        if self.pressed:
            raise KeyboardInterrupt

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            os._exit(INTERRUPTED)
        self.pressed = True
        if os.isatty(2):
            os.write(2, b"\r\nStopping; Ctrl-C again stops at once.\r\n")  # a print could meet one that is under way


class Stoppable:
    """An observer that checks. Not when a trial is finished: that one is saved first."""

    def __init__(self, observer: "Observer", stop: Stop) -> None:
        self.observer, self.stop = observer, stop

    def fitting(self, trial: int) -> None:
        self.stop.check()
        self.observer.fitting(trial)

    def fitted(self, trial: int, report: "FitReport", seconds: float) -> None:
        self.stop.check()
        self.observer.fitted(trial, report, seconds)

    def stepped(self, trial: int, steps: int, return_: float, planned: float | None, step_ms: float) -> None:
        self.stop.check()
        self.observer.stepped(trial, steps, return_, planned, step_ms)

    def finished(self, trial: "Trial") -> None:
        self.observer.finished(trial)
