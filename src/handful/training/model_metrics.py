"""Metrics of a controlled trial: what was planned against what happened, and how well the model predicted it."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.models.score import one_step
from handful.propagation.fan import fan
from handful.task import Task
from handful.training.rollout import Piece
from handful.training.tally import Recorded

FAN_HORIZON = 25  # [steps] of the forecasts that a trial is compared with afterwards


def trial_metrics(
    key: PRNGKeyArray, model: AbstractDynamics | None, trial: Piece, task: Task
) -> tuple[dict[str, float | None], Recorded]:
    """Metrics by name, and arrays for the record: forecasts of the model that drove the trial, before it saw any of it.

    Forecasts are particles that follow the trial's own actions, from each `FAN_HORIZON`-th step on. The trial is padded
    to the same rows always.
    """
    metrics: dict[str, float | None] = {}
    if "planned_return" in trial.info:  # a step of the planning horizon's mean, summed over the trial
        planned = trial.info["planned_return"][trial.valid].sum() / trial.info["plan"].shape[1]
        metrics["planned_return"] = float(planned)
    if model is None:
        return metrics, {}
    rows, horizon = trial.transitions, min(FAN_HORIZON, task.horizon)
    score = _score(key, model, rows, trial.valid, angles=task.angles)
    starts = np.arange(0, task.horizon - horizon + 1, horizon)
    particles = np.asarray(_fan(key, model, rows.obs, rows.action, jnp.asarray(starts), horizon=horizon))
    seen = starts + horizon <= int(trial.valid.sum())
    forecasts = {"fan_starts": starts[seen], "fan_obs": particles[seen]}
    return metrics | {"model_nll": float(score.nll), "model_rmse": float(score.rmse)}, forecasts


_fan = eqx.filter_jit(fan)
_score = eqx.filter_jit(one_step)
