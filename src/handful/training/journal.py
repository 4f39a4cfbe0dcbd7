"""Steps on a real system, written down as they happen: a fault at step 57 of a trial keeps 56."""

import contextlib
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from handful.errors import InputError
from handful.task import Task

NAME = "steps.csv"  # of the stage in progress; a stage that is saved has its own file, and this one goes


class Journal:
    """A CSV that `handful fit` reads, with a row for each step of the stage in progress."""

    def __init__(self, folder: Path, task: Task) -> None:
        self.path = folder / NAME
        numbers = range(task.action_size)
        self.header = [
            "trial",
            *(f"obs {name}" for name in task.names),
            *(f"action {number}" for number in numbers),
            "reward",
            *(f"next_obs {name}" for name in task.names),
            "terminated",
            "truncated",
        ]
        self._file: TextIO | None = None
        self.trials = 0  # that have begun in the stage

    def begin(self) -> None:
        """Start a stage. Steps that an interrupted one has left are kept under another name."""
        self.end()
        self.trials = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("x", newline="", encoding="utf-8")
            csv.writer(self._file).writerow(self.header)
        except OSError as error:
            raise InputError(f"{self.path} cannot be written ({error.strerror or error}); make room first") from error

    def add(self, trial: int, step: Mapping[str, Any]) -> None:
        """Write one step of trial number `trial` of the stage.

        Raises `InputError` where it cannot be written, such as on a full disk: what happens on a real system must not
        be lost.
        """
        if self._file is None:
            return
        cells: list[Any] = [trial]
        for name in ("obs", "action", "reward", "next_obs"):
            cells += np.atleast_1d(step[name]).tolist()
        try:
            csv.writer(self._file).writerow([*cells, int(step["terminated"]), int(step["truncated"])])
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written ({error.strerror or error}), so the trial was stopped; make room and "
                "go on with --resume"
            ) from error

    def drop(self) -> None:
        """The stage is saved: its steps are needed here no more."""
        self._close()
        self.path.unlink(missing_ok=True)

    def end(self) -> Path | None:
        """Nothing follows: steps of a stage that was interrupted, now or earlier, get a file of their own, or None."""
        self._close()
        with contextlib.suppress(OSError):
            if self.path.is_file() and len(self.path.read_bytes().splitlines()) > 1:
                number = len([*self.path.parent.glob("interrupted-*.csv")])
                return self.path.rename(self.path.with_name(f"interrupted-{number:03d}.csv"))
            self.path.unlink(missing_ok=True)
        return None

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):  # a full disk
                file.close()
