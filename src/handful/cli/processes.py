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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from handful.cli.runtime import cores, say
from handful.cli.stopping import Stop
from handful.errors import InputError

# -P: the working directory may hold a user's `random.py`, which must not hide the standard library's.
PROGRAM = (sys.executable, "-P", "-m", "handful.cli.main")
CHILD = "HANDFUL_CHILD"  # the variable that a process of `run_apart` finds set: its input ends when its parent does
GRACE = 20.0  # [s] from the end of the parent until a child stops at once
LOOK = 0.1  # [s] between two looks at the processes


def run_apart(commands: Mapping[int, Sequence[str]], stop: Stop, program: Sequence[str] = PROGRAM) -> None:
    """Run `handful` with the words of each seed, and show its trials as they finish.

    A seed that fails stops no other. Ctrl-C is handed on, and all of them end as a single run does.

    Raises `InputError` at the end where seeds failed, and `KeyboardInterrupt` after Ctrl-C.
    """
    free, running, interrupted = cores(), [], set()
    width = max(map(len, map(str, commands)), default=0)

    def run(seed: int) -> str:
        line = [*program, *commands[seed]]
        return "" if stop.pressed else _run(line, running, f"seed {seed:>{width}}  ")

    # Each thread keeps to one core, and so do the processes that it starts.
    with ThreadPoolExecutor(len(free), initializer=lambda: _keep_to(free.pop())) as threads:
        futures = {seed: threads.submit(run, seed) for seed in commands}
        while wait(futures.values(), LOOK).not_done:
            for process in running if stop.pressed else ():
                if process not in interrupted:
                    process.send_signal(signal.SIGINT)
                    interrupted.add(process)
    stop.check()
    failed = {seed: complaint for seed, future in futures.items() if (complaint := future.result())}
    if failed:
        seed, complaint = next(iter(failed.items()))
        others = f" ({len(failed)} of {len(commands)} seeds did not end well)" if len(failed) > 1 else ""
        raise InputError(f"seed {seed}: {complaint}{others}")


def end_with_parent(stop: Stop) -> None:
    """In a process of `run_apart`, ask `stop` to end the run when the parent has ended, however it ended."""
    if os.environ.pop(CHILD, None) is None:
        return

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        stop.press(signal.SIGTERM)
        time.sleep(GRACE)
        stop.press(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _run(line: Sequence[str], running: list[subprocess.Popen[str]], prefix: str) -> str:
    """Run a process to its end, and show its trials and rounds; what it complained of last, nothing if it ended well.

    It is not in our group of processes: a terminal's Ctrl-C reaches it once, through us. Its input is a pipe of ours,
    which ends with us.
    """
    how: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": _alone()}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(line, stderr=errors, process_group=0, **how) as process,
    ):
        running.append(process)
        for said in process.stdout or ():
            if said.startswith(("trial ", "round ")):
                say(f"{prefix}{said}")
        if process.wait() == 0:
            return ""
        errors.seek(0)
        said = errors.read().strip().splitlines()
    return said[-1].removeprefix("handful: ") if said else f"it ended with code {process.returncode}"


def _keep_to(core: int) -> None:
    """Run the calling thread on one core, where the system can; what it starts takes that for the whole machine."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def _alone() -> dict[str, str]:
    """The environment of a process that has one core, and may share an accelerator with its like."""
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", ""))
    flags = f"{flags} --xla_force_host_platform_device_count=1".strip()
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ, "XLA_FLAGS": flags, CHILD: "1"}
