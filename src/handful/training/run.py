"""Run folders, and groups of them: all that training leaves, and all that it needs to continue."""

import contextlib
import csv
import dataclasses
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful.errors import InputError
from handful.training import checkpoint
from handful.training.files import Folder, damaged, read_json, write_json, write_whole
from handful.user_code import is_file


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of `metrics.csv`: a stage of the run.

    `metrics` are what the agent declares, by name. Agents with a planner have `planned_return` (mean planned reward a
    step, times the trial's steps) and `plan_ms_p50`, `plan_ms_p99` [ms a control step]; agents with a model have
    `model_nll` [nats] (of the mixture, standardised, mean over entries) and `model_rmse` (of the standardised change),
    both of the model that drove the trial, before it saw any of it; others have those of their updates, in the mean.
    """

    trial: int  # of trial or round; 0 comes before anything is learned
    env_steps: int  # of interaction up to and with this stage
    return_: float  # undiscounted
    metrics: dict[str, float | None]
    fit_s: float  # [s] of learning
    wall_s: float  # [s] since the run began, over all its sittings


def _row_of(written: dict[str, Any]) -> Row:
    """A row as the checkpoint has it. Raises `TypeError` or `ValueError` where it is none."""
    row = Row(**written)
    numbers = (row.trial, row.env_steps, row.return_, row.fit_s, row.wall_s, *dict(row.metrics).values())
    if not all(value is None or isinstance(value, int | float) for value in numbers):
        raise TypeError(numbers)
    return row


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """What a run may not change, with the options of the agent beside the other entries."""
    options = config.get("options", {})
    entries = config | (options if isinstance(options, dict) else {"no options": options})
    return {name: value for name, value in entries.items() if name not in MAY_CHANGE}


def columns_of(row: Row) -> dict[str, int | float | None]:
    """All columns of a row of `metrics.csv`, by name."""
    before = {"trial": row.trial, "env_steps": row.env_steps, "return": row.return_}
    return before | row.metrics | {"fit_s": row.fit_s, "wall_s": row.wall_s}


def table_of(rows: Sequence[Row]) -> tuple[list[str], list[list[int | float | None]]]:
    """The header of `metrics.csv` and its lines: a column for each metric that any row has."""
    metrics = dict.fromkeys(name for row in rows for name in row.metrics)
    names = ["trial", "env_steps", "return", *metrics, "fit_s", "wall_s"]
    return names, [[columns_of(row).get(name) for name in names] for row in rows]


MAY_CHANGE = {"handful", "trials", "files", "given", "options"}  # of a configuration; options are compared one by one
MOST = 1000  # seeds of a group: past that a range is a slip of the hand
GROUP = "group.json"  # marks a folder whose `seed-*` are run folders


def copy_of(folder: Path, file: str, digest: str) -> Path:
    """Where a run folder keeps its copy of a user's file."""
    return folder / "files" / digest[:12] / Path(file).name


def keep_files(folder: Path, config: dict[str, Any]) -> None:
    """Copy the user's files that a configuration names into its folder, so that the run does not depend on them."""
    for file, digest in config.get("files", {}).items():
        if not (copy := copy_of(folder, file, digest)).exists():
            write_whole(copy, Path(file).read_bytes())


def is_group(path: Path) -> bool:
    """True if a folder holds a group of runs."""
    return is_file(path / GROUP)


def check_free(path: Path) -> None:
    """Raises `InputError` where the folder already holds a run, or a group of them."""
    if os.path.lexists(path / "config.json") or is_group(path):
        raise InputError(f"{path} already holds a run; go on with --resume {path}, or choose another folder with --out")


class RunFolder(Folder):
    """A folder with `config.json`, `metrics.csv`, `summary.json`, `checkpoints/`, `figures/`, `videos/`, `report.html`.

    `checkpoints/state.npz` is the one truth: it is written last in a trial, holds the rows so far, and the other files
    are made again from it.
    """

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> "RunFolder":
        """A new run, with copies of the user's files in it.

        Raises `InputError` where the folder already holds a run, or a group of them.
        """
        check_free(path)
        run = cls(path)
        made: list[Path] = []
        try:
            for folder in (path / "checkpoints", path / "figures", path / "videos"):
                made += reversed([each for each in (folder, *folder.parents) if not os.path.lexists(each)])
                folder.mkdir(parents=True, exist_ok=True)
            keep_files(path, config)
            run.write_config(config)
        except BaseException as error:
            for folder in reversed(made):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            if isinstance(error, OSError):
                raise InputError(
                    f"{path} cannot be made ({error.strerror}); choose another folder with --out"
                ) from error
            raise
        return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run. A configuration that was lost is written again from the checkpoint.

        Raises `InputError` where there is none.
        """
        run = cls(path)
        if is_group(path):
            raise InputError(
                f"{path} holds a group of runs; name one of them, such as {next(path.glob('seed-*'), path)}"
            )
        if not is_file(run.config_path):
            saved = run.state_header().get("config") if is_file(run.state_path) else None
            if saved is None:
                raise InputError(f"{path} is no run folder (it has no config.json); name one that `handful train` made")
            run.write_config(saved)
        return run

    def member(self, seed: int) -> "RunFolder":
        """The run folder of its seed: itself."""
        return self

    def kept_with(self, config: dict[str, Any]) -> "RunFolder":
        """Itself, made if it is not there yet, with `config` written if it has changed."""
        if not self.config_path.exists():
            return RunFolder.create(self.path, config)
        if self.config() != config:
            keep_files(self.path, config)
            self.write_config(config)
        return self

    @property
    def done(self) -> int:
        """The number of stages that are saved."""
        return len(self.rows()) if self.state_path.exists() else 0

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def state_path(self) -> Path:
        return self.path / "checkpoints" / "state.npz"

    def trial_path(self, trial: int) -> Path:
        return self.path / "checkpoints" / f"trial-{trial:03d}.npz"

    def summary(self) -> dict[str, Any]:
        return read_json(self.path / "summary.json", self.REMEDY)

    def summarises(self, trials: int) -> bool:
        """True if `summary.json` covers all of a run of so many trials."""
        try:
            summary = self.summary()
        except InputError:
            return False
        return summary.get("trials") == trials and "baselines" in summary

    def save_trial(self, trial: int, arrays: dict[str, np.ndarray]) -> None:
        """Write the arrays of a stage. They are kept beside the state, so that no data of a real system are lost."""
        checkpoint.save_arrays(self.trial_path(trial), arrays, {"trial": trial})

    def trial(self, trial: int) -> dict[str, np.ndarray]:
        return checkpoint.load_arrays(self.trial_path(trial))[0]

    def save_state(self, state: Any, rows: list[Row], **header: Any) -> None:
        """Make the last trial final: the state first, then what is made from it.

        `header`: `config`, to which the state belongs, `devices`, and the `capacity` of its data set.
        """
        checkpoint.save(self.state_path, state, {"rows": [dataclasses.asdict(row) for row in rows], **header})
        self.write_metrics(rows)

    def load_state(self, like: checkpoint.State) -> tuple[checkpoint.State, list[Row]]:
        """The state, in the structure of `like`, and the metrics so far."""
        state, header = checkpoint.load(self.state_path, like)
        return state, [_row_of(row) for row in header["rows"]]

    def state_header(self) -> dict[str, Any]:
        """The header of the checkpoint, with the metrics as `rows`."""
        header = checkpoint.load_arrays(self.state_path)[1]
        try:
            _ = int(header["capacity"]), dict(header.get("config", {})), int(header.get("devices", 1))
            _ = [_row_of(row) for row in header["rows"]]
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self.state_path, error, self.REMEDY) from error
        return header

    def rows(self) -> list[Row]:
        """The metrics so far, from the checkpoint."""
        return [_row_of(row) for row in self.state_header()["rows"]]

    def check_config(self, config: dict[str, Any]) -> None:
        """Raises `InputError` where a configuration is not the one that the checkpoint belongs to.

        More trials may be asked for, and the user's files may be newer; nothing else may change.
        """
        belongs = self.state_header().get("config")
        if belongs is None:  # of a run that is older than this check
            return
        saved, now = _flat(belongs), _flat(config)
        for name in sorted({*saved, *now}):
            if saved.get(name) != now.get(name):
                raise InputError(
                    f"{self.config_path} has been changed since the run began: {name!r} is {now.get(name)!r} there and "
                    f"{saved.get(name)!r} in the checkpoint; change it back, or start a new run"
                )

    def write_metrics(self, rows: list[Row]) -> None:
        text = io.StringIO()
        header, lines = table_of(rows)
        csv.writer(text, lineterminator="\n").writerows([header, *lines])
        write_whole(self.metrics_path, text.getvalue())

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_json(self.path / "summary.json", summary)


class GroupFolder(Folder):
    """A folder with `group.json` and a run folder `seed-N` for each seed.

    `group.json` is written first, and holds all that makes the run folders: what all seeds share, and `seeds`.
    """

    CONFIG, REMEDY = GROUP, "restore it, or start a new group"

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> "GroupFolder":
        """A new group. Raises `InputError` where the folder already holds runs."""
        check_free(path)
        group = cls(path)
        keep_files(path, config)
        group.write_config(config)
        return group

    def config(self) -> dict[str, Any]:
        """Raises `InputError` where it is missing or damaged, or names no seeds."""
        config = super().config()
        try:
            seeds_of(config["seeds"])
        except (AttributeError, KeyError, TypeError, InputError) as error:
            raise damaged(self.config_path, error, self.REMEDY) from error
        return config

    def member(self, seed: int) -> RunFolder:
        """The run folder of a seed, which a crash may have come before."""
        return RunFolder(self.path / f"seed-{seed}")


def seeds_of(text: str) -> list[int]:
    """The seeds that a text names.

    >>> seeds_of("0-3,7")
    [0, 1, 2, 3, 7]

    Raises `InputError` where it names none, or one twice.
    """
    seeds: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part, re.ASCII)
        if match is None:
            raise InputError(f"--seeds takes numbers and ranges, as in 0-9 or 0,2,5 or 0-3,7; got {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"a range of --seeds goes from the lower to the higher seed; got {part!r}")
        if len(seeds) + last - first >= MOST:
            raise InputError(f"--seeds takes at most {MOST} seeds, got {text!r}")
        seeds += range(first, last + 1)
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise InputError(f"each seed can run once; --seeds {text} names {twice[0]} twice")
    return seeds
