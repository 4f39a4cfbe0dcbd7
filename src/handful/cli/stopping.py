"""Ctrl-C while a run goes on: stop at the next safe place; pressed twice, stop at once.

What is on disk is whole at any moment, so stopping at once loses no more than the trial in progress. The signal
handler itself raises nothing: inside a callback of JAX an exception would be swallowed, or end the process.
"""

import os
import signal
import threading
from types import FrameType

INTERRUPTED = 130  # what a shell expects after Ctrl-C


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

    def __exit__(self, *error: object) -> None:
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
