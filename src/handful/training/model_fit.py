"""A model from recorded trials: fit, recalibrate, score on held-out trials, and the folder that keeps it all."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from handful.data.dataset import Dataset
from handful.data.loaders import Log, dataset_of
from handful.errors import InputError
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport
from handful.models.recalibrated import Recalibrated
from handful.propagation.fan import fan
from handful.scores import metrics, model_score
from handful.scores.baselines import Baselines, baselines
from handful.scores.model_score import Calibration, OneStepScore, RolloutScore, one_step_predictions, recalibrate
from handful.scores.trust import COVERED, Trust, trust
from handful.scores.windows import Windows, cut, longest, unbroken
from handful.task import Task
from handful.training import checkpoint
from handful.training.files import Folder, plain, read_json, write_json
from handful.training.model_metrics import fitted_parameters
from handful.types import Transition

KIND = "model"  # an entry of the configuration that run folders do not have
BY_STEP = ("nrmse", "coverage", "crps", "spread_skill")  # scores of rollouts for each entry of the observation
EVERY = 5  # every fifth trial is held out


@dataclass(frozen=True)
class Split:
    """The trials to fit on, to recalibrate on and to score."""

    training: tuple[int, ...]
    calibration: tuple[int, ...]  # empty where there are only two trials
    held_out: tuple[int, ...]


@dataclass(frozen=True)
class ModelScores:
    """Scores of one model on the held-out trials."""

    one_step: OneStepScore
    rollout: RolloutScore


@dataclass(frozen=True)
class ModelFit:
    """A fitted model and its scores."""

    task: Task
    model: Recalibrated  # with factor 1 where no trial was left to calibrate on
    split: Split
    report: FitReport
    capacity: int  # of the dataset that it was fitted on
    calibration: Calibration | None
    before: ModelScores  # with factor 1
    after: ModelScores | None  # with the factor found
    known: Baselines  # errors to compare those of the model with
    shown: dict[str, np.ndarray]  # further arrays for the figures

    def trust(self, scores: ModelScores) -> Trust:
        """How many steps ahead the model with these scores is trusted, `before` or `after` recalibration."""
        return trust(np.asarray(scores.rollout.coverage, float), np.asarray(scores.rollout.nrmse, float), self.known)


def split_of(numbers: Sequence[int], held_out: Sequence[int] = ()) -> Split:
    """Hold out the given trials, or every fifth and at least one; calibrate on one more if there are three or more.

    Raises `InputError` where a given trial does not exist, or none would be left to fit.
    """
    numbers = sorted(numbers)
    strange = sorted(set(held_out) - set(numbers))
    if strange:
        raise InputError(f"trials to hold out must be among {numbers}, got {strange}")
    chosen = sorted(set(held_out)) or numbers[EVERY - 1 :: EVERY] or numbers[-1:]
    rest = [number for number in numbers if number not in chosen]
    if not rest:
        raise InputError(
            f"a fit needs at least one trial besides those held out, got {len(numbers)} in all; record more trials, or "
            "number them in `trial`: trials are held out whole"
        )
    calibration = rest[-1:] if len(rest) > 1 else []
    return Split(tuple(number for number in rest if number not in calibration), tuple(calibration), tuple(chosen))


def plain_task(log: Log) -> Task:
    """A task without a reward: sizes, names and limits of the log, time in steps."""
    actions = np.concatenate([np.asarray(trial.action) for trial in log.trials.values()])
    return Task(
        reward=lambda obs, action, next_obs: jnp.zeros(()),
        low=jnp.asarray(actions.min(0)),
        high=jnp.asarray(actions.max(0)),
        names=log.names or tuple(f"obs {index}" for index in range(log.obs_size)),
        dt=1.0,
        horizon=max(len(trial.reward) for trial in log.trials.values()),
    )


def fit_model(
    key: PRNGKeyArray,
    learner: AbstractLearner,
    task: Task,
    trials: Mapping[int, Transition],
    *,
    held_out: Sequence[int] = (),
    horizon: int = model_score.HORIZON,
    particles: int = model_score.PARTICLES,
) -> ModelFit:
    """Fit on the training trials, find the factor on the calibration trial, score on the held-out ones.

    Rollouts are as long as `horizon`, or as the longest window that the trials hold.

    Raises `InputError` where log and task have different sizes, or there are too few trials.
    """
    _check_sizes(task, trials)
    split = split_of(tuple(trials), held_out)
    training, calibrating, testing = ({number: trials[number] for number in part} for part in vars(split).values())
    init_key, fit_key, calibration_key, score_key, fan_key, parts_key = jax.random.split(key, 6)
    data = dataset_of(training)
    state, report = _fit(learner, fit_key, _init(learner, init_key, task), data)
    fitted = learner.model(state)
    steps = min([horizon, *(longest(part, task.angles) for part in (calibrating, testing) if part)])
    settings: dict[str, Any] = {"angles": task.angles, "particles": particles}
    model, calibration = Recalibrated(fitted, 1.0), None
    windows = cut(testing, steps, angles=task.angles)
    known = baselines(training, windows, angles=task.angles)
    before = scores_of(score_key, model, testing, windows, **settings)
    after = None
    if calibrating:
        model, calibration = recalibrate(calibration_key, fitted, calibrating, horizon=steps, **settings)
        after = scores_of(score_key, model, testing, windows, **settings)
    shown = _forecast(fan_key, model, testing, windows.horizon, task.angles)
    shown |= _uncertainty(parts_key, model, testing, task.angles)
    return ModelFit(task, model, split, report, data.capacity, calibration, before, after, known, shown)


def scores_of(
    key: PRNGKeyArray, model: AbstractDynamics, trials: Mapping[int, Transition], windows: Windows, **settings: Any
) -> ModelScores:
    """Both kinds of scores; the same key gives two models the same worlds and noise."""
    step_key, roll_key = jax.random.split(key)
    one_step = model_score.one_step_score(step_key, model, trials, angles=settings["angles"])
    return ModelScores(
        one_step, model_score.rollout_score(model_score.forecasts(roll_key, model, windows, **settings), windows)
    )


def _forecast(
    key: PRNGKeyArray, model: AbstractDynamics, trials: Mapping[int, Transition], horizon: int, angles: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """The first unbroken piece of a trial that is long enough, and forecasts along it."""
    number, obs, action = next(
        (number, obs, action)
        for number, trial in trials.items()
        for obs, action in unbroken(trial, angles)
        if len(action) >= horizon
    )
    starts = np.arange(0, len(action) - horizon + 1, horizon)
    rows = jnp.asarray(obs[:-1], float), jnp.asarray(action, float)
    particles = _fan(key, model, *rows, jnp.asarray(starts), horizon=horizon)
    trial = {"number": np.asarray(number), "obs": obs[:-1], "next_obs": obs[1:]}
    return trial | {"fan_starts": starts, "fan_obs": np.asarray(particles)}


def _uncertainty(
    key: PRNGKeyArray, model: AbstractDynamics, trials: Mapping[int, Transition], angles: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """The observations, and the aleatoric and epistemic std at each."""
    parts = one_step_predictions(key, model, trials, angles=angles)
    seen = np.concatenate([np.asarray(each.obs) for each in trials.values()])
    return {"seen": seen, "aleatoric": np.sqrt(parts.aleatoric), "epistemic": np.sqrt(parts.epistemic)}


def _check_sizes(task: Task, trials: Mapping[int, Transition]) -> None:
    for trial in trials.values():
        sizes = trial.obs.shape[1], trial.action.shape[1]
        if sizes != (task.obs_size, task.action_size):
            raise InputError(
                f"the task has {task.obs_size} observations and {task.action_size} actions, and the data have "
                f"{sizes[0]} and {sizes[1]}; name the task that they come from, or leave it out"
            )


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
        try:
            self._write(fit, config)
        except InputError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            reason = error.__cause__.strerror or error.__cause__
            raise InputError(
                f"the model cannot be written into {self.path} ({reason}); make room, or fit again with another --out"
            ) from error.__cause__

    def _write(self, fit: ModelFit, config: dict[str, Any]) -> None:
        weights = eqx.filter(fit.model, eqx.is_array)
        checkpoint.save(self.path / "checkpoints" / "model.npz", weights, {"capacity": fit.capacity})
        checkpoint.save_arrays(self.path / "checkpoints" / "shown.npz", fit.shown | _by_step(fit), {})
        task = {"names": fit.task.names, "dt": fit.task.dt, "angles": fit.task.angles}
        write_json(self.path / "scores.json", scores(fit))
        write_json(self.config_path, {"kind": KIND, **config, **task})

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
    return plain(
        {
            "split": vars(fit.split),
            "calibration": None if fit.calibration is None else vars(fit.calibration),
            "trusted_coverage": COVERED,
            "errors": _errors(fit),
            "diverged": np.asarray(fit.report.diverged),
            "parameters": fitted_parameters(fit.model),
            "before": _both(fit, fit.before),
            "after": fit.after and _both(fit, fit.after),
        }
    )


def _errors(fit: ModelFit) -> dict[str, Any]:
    """Errors of each entry in its own unit, at the steps of the rollouts' scores: of the model and of the baselines."""
    rollout = (fit.after or fit.before).rollout
    columns = {"model": fit.known.in_units(rollout.nrmse), "unchanged": fit.known.unchanged, "linear": fit.known.linear}
    return {name: rmse[_steps(rollout) - 1] for name, rmse in columns.items()}


def _both(fit: ModelFit, score: ModelScores) -> dict[str, Any]:
    trusted = fit.trust(score)
    rollout = _rollout(score.rollout) | {"trust_horizon": trusted.steps, "trust": vars(trusted)}
    return {"one_step": _one_step(score.one_step), "rollout": rollout}


def _one_step(score: OneStepScore) -> dict[str, Any]:
    values = {name: value for name, value in vars(score).items() if name not in {"coverage", "width", "pit"}}
    for index, level in enumerate(metrics.BANDS):
        values |= {f"{name}{100 * level:.0f}": getattr(score, name)[index] for name in ("coverage", "width")}
    return {name: {"mean": np.mean(value), "entries": np.asarray(value)} for name, value in values.items()}


def _rollout(score: RolloutScore) -> dict[str, Any]:
    steps = _steps(score)
    values = {name: np.asarray(getattr(score, name))[steps - 1] for name in (*BY_STEP, "energy", "finite")}
    entries = {name: {"mean": values[name].mean(1), "entries": values[name]} for name in BY_STEP}
    return {"steps": steps} | values | entries


def _steps(score: RolloutScore) -> np.ndarray:
    """The steps ahead at which tables hold scores."""
    last = score.nrmse.shape[0]
    return np.array(sorted({min(step, last) for step in (*model_score.STEPS, last)}))


def _by_step(fit: ModelFit) -> dict[str, np.ndarray]:
    """Scores of rollouts at every step, and probability integral transforms, before and after recalibration."""
    arrays = {}
    for when, one in (("before", fit.before), ("after", fit.after)):
        if one is not None:
            arrays |= {f"{name}_{when}": np.asarray(getattr(one.rollout, name)) for name in BY_STEP}
            arrays[f"pit_one_{when}"] = np.asarray(one.one_step.pit)
            arrays[f"pit_far_{when}"] = np.asarray(one.rollout.pit[:, -1])
    return arrays


def _untrained(learner: AbstractLearner, task: Task, capacity: int) -> Recalibrated:
    key = jax.random.key(0)
    state, _ = learner.fit(key, learner.init(key, task), Dataset.empty(task, capacity))
    return Recalibrated(learner.model(state), 1.0)


_init = eqx.filter_jit(lambda learner, key, task: learner.init(key, task))
_fit = eqx.filter_jit(lambda learner, key, state, data: learner.fit(key, state, data))
_fan = eqx.filter_jit(fan)
