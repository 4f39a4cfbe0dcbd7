"""What is recorded of a model: how well it planned and predicted a trial, and its physical parameters."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.models.identified import identified
from handful.models.physics import Physics
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


def fitted_parameters(model: Any) -> dict[str, dict[str, float | None]]:
    """Guess, prior std, fitted value and std of each physical parameter of a model, by name.

    Physics inside another model, as under a learned correction, is found; empty where there is none. None stands for
    values that are not finite.
    """
    leaves = jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, Physics))
    for physics in (leaf for leaf in leaves if isinstance(leaf, Physics)):
        known = identified(physics)
        columns = zip(physics.parameters.guess, known.prior_stds, known.values, known.stds, strict=True)
        rows = [[value if math.isfinite(value) else None for value in map(float, column)] for column in columns]
        kinds = ("guess", "prior_std", "fitted", "std")
        return {name: dict(zip(kinds, row, strict=True)) for name, row in zip(known.names, rows, strict=True)}
    return {}


_fan = eqx.filter_jit(fan)
_score = eqx.filter_jit(one_step)
