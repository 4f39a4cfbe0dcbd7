"""The model folder: a fitted model, its scores, and the arrays that its report shows."""

import json
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from handful.data.dataset import Dataset
from handful.errors import InputError
from handful.models.base import AbstractLearner
from handful.models.recalibrated import Recalibrated
from handful.scores import metrics
from handful.scores.model_score import STEPS, TRUSTED, OneStepScore, RolloutScore
from handful.task import Task
from handful.training import checkpoint
from handful.training.files import Folder, read_json, write_json
from handful.training.fitted_parameters import fitted_parameters
from handful.training.model_fit import ModelFit, ModelScores

KIND = "model"  # an entry of the configuration that run folders do not have
BY_STEP = ("nrmse", "coverage", "crps", "spread_skill")  # scores of rollouts for each entry of the observation


class ModelFolder(Folder):
    """A folder with `config.json`, `scores.json`, `checkpoints/{model,shown}.npz`, `figures/` and `report.html`."""

    REMEDY = "fit the model again"

    @classmethod
    def is_one(cls, path: Path) -> bool:
        """True if a folder is a model folder."""
        try:
            return cls(path).config().get("kind") == KIND
        except InputError:
            return False

    @classmethod
    def check_free(cls, path: Path) -> None:
        """Raises `InputError` where the folder already holds a run or a model."""
        if os.path.lexists(path / "config.json"):
            raise InputError(f"{path} already holds a run or a model; choose another folder with --out")

    def save(self, fit: ModelFit, config: dict[str, Any]) -> None:
        """Write everything but the report; the configuration last, so that a folder with one is whole."""
        self.check_free(self.path)
        weights = eqx.filter(fit.model, eqx.is_array)
        checkpoint.save(self.path / "checkpoints" / "model.npz", weights, {"capacity": fit.capacity})
        checkpoint.save_arrays(self.path / "checkpoints" / "shown.npz", fit.shown | _by_step(fit), {})
        task = {"names": fit.task.names, "dt": fit.task.dt, "angles": fit.task.angles}
        write_json(self.path / "scores.json", scores(fit), allow_nan=False)
        write_json(self.path / "config.json", {"kind": KIND, **config, **task}, allow_nan=False)

    def load(self, learner: AbstractLearner, task: Task) -> Recalibrated:
        """The recalibrated model, given the learner and the task of its fit.

        Raises `InputError` where another learner or task is given, or the file is damaged.
        """
        file = self.path / "checkpoints" / "model.npz"
        capacity = checkpoint.load_arrays(file)[1]["capacity"]
        like = eqx.filter_eval_shape(_untrained, learner, task, capacity)
        arrays, rest = eqx.partition(like, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        arrays = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), arrays)
        return eqx.combine(checkpoint.load(file, arrays)[0], rest)

    def scores(self) -> dict[str, Any]:
        return read_json(self.path / "scores.json", self.REMEDY)

    def shown(self) -> dict[str, np.ndarray]:
        return checkpoint.load_arrays(self.path / "checkpoints" / "shown.npz")[0]


def scores(fit: ModelFit) -> dict[str, Any]:
    """All numbers of the report, as JSON: null stands for what is not finite."""
    return _plain(
        {
            "split": vars(fit.split),
            "calibration": None if fit.calibration is None else vars(fit.calibration),
            "trusted_coverage": TRUSTED,
            "diverged": np.asarray(fit.report.diverged),
            "parameters": fitted_parameters(fit.model),
            "before": _both(fit.before),
            "after": None if fit.after is None else _both(fit.after),
        }
    )


def _both(score: ModelScores) -> dict[str, Any]:
    return {"one_step": _one_step(score.one_step), "rollout": _rollout(score.rollout)}


def _one_step(score: OneStepScore) -> dict[str, Any]:
    values = {name: value for name, value in vars(score).items() if name not in {"coverage", "width", "pit"}}
    for index, level in enumerate(metrics.BANDS):
        values |= {f"{name}{100 * level:.0f}": getattr(score, name)[index] for name in ("coverage", "width")}
    return {name: {"mean": np.mean(value), "entries": np.asarray(value)} for name, value in values.items()}


def _rollout(score: RolloutScore) -> dict[str, Any]:
    last = score.nrmse.shape[0]
    steps = sorted({min(step, last) for step in (*STEPS, last)})
    values = {name: np.asarray(getattr(score, name))[np.array(steps) - 1] for name in (*BY_STEP, "energy", "finite")}
    entries = {name: {"mean": values[name].mean(1), "entries": values[name]} for name in BY_STEP}
    return {"steps": steps, "trust_horizon": score.trust_horizon} | values | entries


def _by_step(fit: ModelFit) -> dict[str, np.ndarray]:
    """Scores of rollouts at every step, and probability integral transforms, before and after recalibration."""
    arrays = {}
    for when, one in (("before", fit.before), ("after", fit.after)):
        if one is not None:
            arrays |= {f"{name}_{when}": np.asarray(getattr(one.rollout, name)) for name in BY_STEP}
            arrays[f"pit_one_{when}"] = np.asarray(one.one_step.pit)
            arrays[f"pit_far_{when}"] = np.asarray(one.rollout.pit[:, -1])
    return arrays


def _plain(value: Any) -> Any:
    """As JSON gives it back, arrays as lists."""
    text = json.dumps(value, default=lambda leaf: np.asarray(leaf).tolist())
    return json.loads(text, parse_constant=lambda _: None)


def _untrained(learner: AbstractLearner, task: Task, capacity: int) -> Recalibrated:
    key = jax.random.key(0)
    state, _ = learner.fit(key, learner.init(key, task), Dataset.empty(task, capacity))
    return Recalibrated(learner.model(state), 1.0)
