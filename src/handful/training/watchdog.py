"""Calls into a user's environment that do not come back: they are noticed, and ended at a limit."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from handful.errors import InputError

SLOW = 10.0  # [s] without an answer after which a message is printed
LOOK = 0.2  # [s] between two looks


class Watchdog:
    """Watches one call at a time, from a thread that starts with the first one."""

    def __init__(self) -> None:
        self.limit: float | None = None  # [s] for one call; it is ended then, if it is in the main thread
        self._call: tuple[str, float] | None = None  # the name and the beginning of the call under way
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @contextlib.contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """Watch what is called in the block. Raises `InputError` where it takes longer than the limit."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()
        self._call = name, time.monotonic()
        try:
            yield
        finally:
            self._call = None

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def _look(self) -> None:
        reported = None
        while not self._closed.wait(LOOK):
            call = self._call
            if call is None:
                continue
            took = time.monotonic() - call[1]
            if took > SLOW and reported is not call:
                reported = call
                sentence = f"the environment has not answered a {call[0]} for {took:.0f} s; Ctrl-C twice stops the run"
                with contextlib.suppress(OSError):
                    os.write(2, f"handful: {sentence}\n".encode())
            if self.limit is not None and took > self.limit and self._call is call:
                self._interrupt()

    def _interrupt(self) -> None:
        """Let the main thread raise, inside the call."""
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    def listen(self) -> None:
        """Take the signal of the limit; in the main thread alone, where signals arrive."""
        if self.limit is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self._late)

    def _late(self, number: int, frame: FrameType | None) -> None:
        call = self._call
        if call is not None:
            raise InputError(
                f"the environment took longer than {self.limit} s for a {call[0]}; what came before is kept"
            )
