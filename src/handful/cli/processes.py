"""Runs in processes of their own, side by side: as many at a time as there are cores, each on one core."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handful.cli.stopping import Stop

PROGRAM = (sys.executable, "-m", "handful.cli.main")
LOOK = 0.1  # [s] between two looks at the processes


def run_apart(commands: Mapping[int, Sequence[str]], stop: "Stop", program: Sequence[str] = PROGRAM) -> None:
    """Run `handful` with the words of each seed, and tell of its trials as they finish.

    A seed that fails stops no other. Ctrl-C is handed on, and all of them end as a single run does.

    Raises `InputError` at the end where seeds failed, and `KeyboardInterrupt` after Ctrl-C.
    """
    from handful.errors import InputError

    waiting, free, running, failed = list(commands), cores(), {}, {}
    width, interrupted = max(map(len, map(str, commands)), default=0), False
    while waiting or running:
        while waiting and free and not stop.pressed:
            seed = waiting.pop(0)
            running[seed] = _Process([*program, *commands[seed]], free.pop(), f"seed {seed:>{width}}  ")
        if stop.pressed and not interrupted:
            waiting, interrupted = [], True
            for process in running.values():
                process.interrupt()
        for seed in [seed for seed, process in running.items() if process.ended]:
            process = running.pop(seed)
            free.append(process.core)
            if complaint := process.complaint():
                failed[seed] = complaint
        time.sleep(LOOK)
    stop.check()
    if failed:
        seed, complaint = next(iter(failed.items()))
        others = f" ({len(failed)} of {len(commands)} seeds did not end well)" if len(failed) > 1 else ""
        raise InputError(f"seed {seed}: {complaint}{others}")


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


class _Process:
    """One process on one core. Not in our group of processes: a terminal's Ctrl-C reaches it once, through us."""

    def __init__(self, line: Sequence[str], core: int, prefix: str) -> None:
        self.core, self.prefix = core, prefix
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed when the process has ended
        with _on(core):
            self.process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                env=os.environ | _alone(),
                text=True,
                process_group=0,
            )
        self.reader = threading.Thread(target=self._relay, daemon=True)
        self.reader.start()

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def complaint(self) -> str:
        """What an ended process complained of last; nothing where it ended well."""
        self.reader.join()
        with self.errors as errors:
            errors.seek(0)
            said = errors.read().strip().splitlines()
        if self.process.returncode == 0:
            return ""
        return said[-1].removeprefix("handful: ") if said else f"it ended with code {self.process.returncode}"

    def _relay(self) -> None:
        """Tell of finished trials and rounds."""
        with self.process.stdout or contextlib.nullcontext(()) as lines:
            for line in lines:
                if line.startswith(("trial ", "round ")):
                    sys.stdout.write(f"{self.prefix}{line}")
                    sys.stdout.flush()


@contextlib.contextmanager
def _on(core: int) -> Iterator[None]:
    """What starts in here starts on one core, and takes it for the whole machine."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _alone() -> dict[str, str]:
    """Variables for a process that has one core, and may share an accelerator with its like."""
    devices = r"--xla_force_host_platform_device_count=\d+"
    flags = re.sub(devices, "", os.environ.get("XLA_FLAGS", ""))
    return {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=1".strip()} | {
        "XLA_PYTHON_CLIENT_PREALLOCATE": os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    }
