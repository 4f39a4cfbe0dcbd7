"""The run folder: everything that one training run leaves behind, and everything it needs to go on."""

import contextlib
import csv
import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from handful.errors import InputError
from handful.training import checkpoint
from handful.training.files import write_whole


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of `metrics.csv`. Model scores are of the model that drove the trial, before it saw any of it."""

    trial: int  # 0 is the random one
    env_steps: int  # of interaction up to and with this trial
    return_: float  # undiscounted
    planned_return: float | None  # mean planned reward a step, times the trial's steps; None without a planner
    model_nll: float | None  # [nats] mixture, standardised, mean over entries; None without a model
    model_rmse: float | None  # of the standardised change
    plan_ms_p50: float | None  # [ms] a control step
    plan_ms_p99: float | None
    fit_s: float  # [s]
    wall_s: float  # [s] since the run began, over all its sittings


COLUMNS = [field.name.rstrip("_") for field in dataclasses.fields(Row)]


GROUP = "group.json"  # marks a folder whose `seed-*` are run folders


def is_group(path: Path) -> bool:
    """Whether a folder holds a group of runs."""
    return os.path.isfile(path / GROUP)  # noqa: PTH113 -- Path.is_file raises where a name is too long


class RunFolder:
    """A folder with `config.json`, `metrics.csv`, `summary.json`, `checkpoints/`, `figures/`, `videos/`, `report.html`.

    `checkpoints/state.npz` is the one truth: it is written last in a trial, holds the rows so far, and the other files
    are made again from it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> "RunFolder":
        """A new run. Raises `InputError` where the folder already holds one, or a group of them."""
        run = cls(path)
        if os.path.lexists(run.config_path) or is_group(path):
            raise InputError(
                f"{path} already holds a run; go on with --resume {path}, or choose another folder with --out"
            )
        made: list[Path] = []
        try:
            for folder in (path / "checkpoints", path / "figures", path / "videos"):
                made += reversed([each for each in (folder, *folder.parents) if not os.path.lexists(each)])
                folder.mkdir(parents=True, exist_ok=True)
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
        """An existing run. Raises `InputError` where there is none."""
        run = cls(path)
        if is_group(path):
            raise InputError(
                f"{path} holds a group of runs; name one of them, such as {next(path.glob('seed-*'), path)}"
            )
        if not os.path.isfile(run.config_path):  # noqa: PTH113 -- Path.is_file raises where a name is too long
            raise InputError(f"{path} is no run folder (it has no config.json); name one that `handful train` made")
        return run

    @property
    def config_path(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    @property
    def state_path(self) -> Path:
        return self.path / "checkpoints" / "state.npz"

    def trial_path(self, trial: int) -> Path:
        return self.path / "checkpoints" / f"trial-{trial:03d}.npz"

    def write_config(self, config: dict[str, Any]) -> None:
        write_whole(self.config_path, json.dumps(config, indent=2) + "\n")

    def config(self) -> dict[str, Any]:
        return self._read_json(self.config_path)

    def summary(self) -> dict[str, Any]:
        return self._read_json(self.path / "summary.json")

    def summarises(self, trials: int) -> bool:
        """Whether `summary.json` tells the whole of a run of so many trials."""
        try:
            told = self.summary()
        except InputError:
            return False
        return told.get("trials") == trials and "baselines" in told

    def save_trial(self, trial: int, arrays: dict[str, np.ndarray]) -> None:
        """What happened in a trial: kept beside the state, so that no data of a real system are ever lost."""
        checkpoint.save_arrays(self.trial_path(trial), arrays, {"trial": trial})

    def trial(self, trial: int) -> dict[str, np.ndarray]:
        return checkpoint.load_arrays(self.trial_path(trial))[0]

    def save_state(self, state: Any, rows: list[Row], **header: Any) -> None:
        """Make the last trial final: the state first, then what is told from it."""
        checkpoint.save(self.state_path, state, {"rows": [dataclasses.asdict(row) for row in rows], **header})
        self.write_metrics(rows)

    def load_state(self, like: checkpoint.State) -> tuple[checkpoint.State, list[Row]]:
        """The state, in the structure of `like`, and the metrics so far."""
        state, header = checkpoint.load(self.state_path, like)
        return state, [Row(**row) for row in header["rows"]]

    def state_header(self) -> dict[str, Any]:
        """What the checkpoint says of itself, with the metrics as `rows`."""
        return checkpoint.load_arrays(self.state_path)[1]

    def rows(self) -> list[Row]:
        """The metrics so far, from the checkpoint."""
        return [Row(**row) for row in self.state_header()["rows"]]

    def write_metrics(self, rows: list[Row]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(dataclasses.astuple(row) for row in rows)
        write_whole(self.metrics_path, text.getvalue())

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_whole(self.path / "summary.json", json.dumps(summary, indent=2) + "\n")

    def _read_json(self, path: Path) -> dict[str, Any]:
        try:
            return dict(json.loads(path.read_text()).items())
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(
                f"{path} is missing or damaged ({type(error).__name__}); restore it, or start a new run"
            ) from error
