"""Stopping a run: by Ctrl-C, SIGTERM or SIGHUP, at the next safe place; asked twice, at once.

What is on disk is whole at any moment, so stopping at once loses no more than what is in progress. The signal handler
itself raises nothing while a run goes on: inside a callback of JAX an exception would be swallowed, or end the process.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

INTERRUPTED = 130  # what a shell expects after Ctrl-C
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop; `code` is the exit code that a shell expects."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


class Stop:
    """Remembers that the run was asked to stop; `check` then raises `Interrupted`, or, if `at_once`, the signal does.

    Asked twice, it calls the functions of `closing`, such as that of a robot, and ends the process.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self.number = 0  # of the signal that asked; 0 while none has
        self.closing: list[Callable[[], Any]] = []

    @property
    def pressed(self) -> bool:
        return self.number > 0

    def __enter__(self) -> "Stop":
        mine = threading.current_thread() is threading.main_thread()
        self.before = {number: signal.getsignal(number) for number in SIGNALS} if mine else {}
        self.before = {number: now for number, now in self.before.items() if now not in {signal.SIG_IGN, None}}
        for number in self.before:
            signal.signal(number, self._press)
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self.before.items():  # after a press nothing is left but to end, and that in peace
            signal.signal(number, signal.SIG_IGN if self.pressed else before)

    def check(self) -> None:
        if self.pressed:
            raise Interrupted(self.number)

    def press(self, number: int = signal.SIGINT) -> None:
        """Ask to stop, as the signal of that number does."""
        if self.pressed:
            for close in self.closing:
                with contextlib.suppress(BaseException):
                    close()
            os._exit(128 + number)
        self.number = number
        if os.isatty(2) and not self.at_once:
            os.write(2, b"\r\nStopping; Ctrl-C again stops at once.\r\n")  # a print could meet one that is under way

    def _press(self, number: int, frame: FrameType | None) -> None:
        self.press(number)
        if self.at_once:
            self.check()
