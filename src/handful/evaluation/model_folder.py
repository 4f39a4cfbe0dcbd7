"""The model folder: a fitted belief, the account of it, and all that its report shows."""

import json
import math
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from handful.data.dataset import Dataset
from handful.errors import InputError
from handful.evaluation import metrics
from handful.evaluation.model_fit import ModelFit, Scores
from handful.evaluation.model_score import TOLD, TRUSTED, OneStepScore, RolloutScore
from handful.models.base import AbstractLearner
from handful.models.recalibrated import Recalibrated
from handful.task import Task
from handful.training import checkpoint
from handful.training.files import write_whole

KIND = "model"  # what the configuration says of itself; a run folder says nothing
ONE_STEP = ("nrmse", "r2", "nll", "nll_matched", "skill", "crps", "ece", "sharpness", "aleatoric", "epistemic", "spread_skill")  # fmt: skip  # noqa: E501
ROLLOUT = ("nrmse", "coverage", "crps", "spread_skill")


class ModelFolder:
    """A folder with `config.json`, `scores.json`, `checkpoints/{model,shown}.npz`, `figures/` and `report.html`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def is_one(cls, path: Path) -> bool:
        """Whether a folder says of itself that it is one."""
        try:
            return json.loads((path / "config.json").read_text()).get("kind") == KIND
        except (OSError, ValueError, AttributeError):
            return False

    @classmethod
    def check_free(cls, path: Path) -> None:
        """Raises `InputError` where the folder holds something already: ask before the work, not after it."""
        if os.path.lexists(path / "config.json"):
            raise InputError(f"{path} already holds a run or a model; choose another folder with --out")

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    def save(self, fit: ModelFit, config: dict[str, Any]) -> None:
        """Write everything but the report; the configuration last, so that what has one is whole."""
        self.check_free(self.path)
        weights = eqx.filter(fit.model, eqx.is_array)
        checkpoint.save(self.path / "checkpoints" / "model.npz", weights, {"capacity": fit.capacity})
        checkpoint.save_arrays(self.path / "checkpoints" / "shown.npz", fit.shown | _by_step(fit), {})
        self._write("scores.json", scores(fit))
        self._write(
            "config.json",
            {"kind": KIND, **config, "names": fit.task.names, "dt": fit.task.dt, "angles": fit.task.angles},
        )

    def load(self, learner: AbstractLearner, task: Task) -> Recalibrated:
        """The belief, recalibrated, of the learner and the task that it was fitted with.

        Raises `InputError` where another learner or task is given, or the file is damaged.
        """
        file = self.path / "checkpoints" / "model.npz"
        capacity = checkpoint.load_arrays(file)[1]["capacity"]
        like = eqx.filter_eval_shape(_made, learner, task, capacity)
        arrays, rest = eqx.partition(like, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        arrays = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), arrays)
        return eqx.combine(checkpoint.load(file, arrays)[0], rest)

    def config(self) -> dict[str, Any]:
        return self._read("config.json")

    def scores(self) -> dict[str, Any]:
        return self._read("scores.json")

    def shown(self) -> dict[str, np.ndarray]:
        return checkpoint.load_arrays(self.path / "checkpoints" / "shown.npz")[0]

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_whole(self.path / name, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def _read(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads((self.path / name).read_text()).items())
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(
                f"{self.path / name} is missing or damaged ({type(error).__name__}); fit the model again"
            ) from error


def scores(fit: ModelFit) -> dict[str, Any]:
    """All numbers of the account, as JSON: null stands for what is not finite."""
    both = {"before": fit.before, "after": fit.after}
    found = fit.calibration
    return _plain(
        {
            "split": vars(fit.split),
            "calibration": None if found is None else vars(found),
            "trusted_coverage": TRUSTED,
            "diverged": np.asarray(fit.report.diverged),
            **{name: None if one is None else _told(one) for name, one in both.items()},
        }
    )


def _told(one: Scores) -> dict[str, Any]:
    return {"one_step": _one_step(one.one_step), "rollout": _rollout(one.rollout)}


def _one_step(score: OneStepScore) -> dict[str, Any]:
    told = {name: _of_entries(getattr(score, name)) for name in ONE_STEP}
    for index, level in enumerate(metrics.BANDS):
        told[f"coverage{100 * level:.0f}"] = _of_entries(score.coverage[index])
        told[f"width{100 * level:.0f}"] = _of_entries(score.width[index])
    return told


def _of_entries(values: Any) -> dict[str, Any]:
    return {"mean": np.mean(values), "entries": np.asarray(values)}


def _rollout(score: RolloutScore) -> dict[str, Any]:
    last = score.nrmse.shape[0]
    steps = sorted({min(step, last) for step in (*TOLD, last)})
    rows = np.array(steps) - 1
    told: dict[str, Any] = {"steps": steps, "trust_horizon": score.trust_horizon}
    for name in ROLLOUT:
        values = np.asarray(getattr(score, name))[rows]
        told[name] = {"mean": values.mean(1), "entries": values}
    return told | {name: np.asarray(getattr(score, name))[rows] for name in ("energy", "finite")}


def _by_step(fit: ModelFit) -> dict[str, np.ndarray]:
    """The curves and the places among the forecasts, before and after."""
    arrays = {}
    for when, one in (("before", fit.before), ("after", fit.after)):
        if one is not None:
            arrays |= {f"{name}_{when}": np.asarray(getattr(one.rollout, name)) for name in ROLLOUT}
            arrays[f"pit_one_{when}"] = np.asarray(one.one_step.pit)
            arrays[f"pit_far_{when}"] = np.asarray(one.rollout.pit[:, -1])
    return arrays


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _plain(np.asarray(value).tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _made(learner: AbstractLearner, task: Task, capacity: int) -> Recalibrated:
    key = jax.random.key(0)
    state, _ = learner.fit(key, learner.init(key, task), Dataset.empty(task, capacity))
    return Recalibrated(learner.model(state), 1.0)
