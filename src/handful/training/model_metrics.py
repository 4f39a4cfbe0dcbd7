"""Metrics of a controlled trial: what was planned against what happened, and how well the model predicted it."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.models.score import OneStep, one_step
from handful.propagation.fan import fan
from handful.task import Task
from handful.training.rollout import Piece
from handful.training.tally import Tally

FAN_HORIZON = 25  # [steps] of the forecasts that a trial is compared with afterwards


def trial_metrics(
    key: PRNGKeyArray, model: AbstractDynamics | None, tally: Tally, task: Task, piece: int
) -> tuple[dict[str, float | None], dict[str, np.ndarray]]:
    """Metrics by name, and arrays for the record: forecasts of the model that drove the trial, before it saw any of it.

    Trials are padded to whole pieces of `piece` steps, so that one that ends early recompiles nothing.
    """
    whole, arrays = tally.whole(-(-task.horizon // piece) * piece), {}
    metrics: dict[str, float | None] = {}
    if "planned_return" in whole.info:  # a step of the planning horizon's mean, summed over the trial
        planned = whole.info["planned_return"][whole.valid].sum() / whole.info["plan"].shape[1]
        metrics["planned_return"] = float(planned)
    if model is not None:
        score = _score(key, model, whole, angles=task.angles)
        metrics |= {"model_nll": float(score.nll), "model_rmse": float(score.rmse)}
        arrays = _forecasts(key, model, whole, task)
    times = {f"plan_ms_p{share}": float(np.percentile(tally.step_ms, share)) for share in (50, 99)}
    return metrics | times, arrays


def _forecasts(key: PRNGKeyArray, model: AbstractDynamics, whole: Piece, task: Task) -> dict[str, np.ndarray]:
    """Particles that follow the trial's own actions, from each `FAN_HORIZON`-th step on."""
    steps, horizon = int(whole.valid.sum()), min(FAN_HORIZON, task.horizon)
    starts = np.arange(0, task.horizon - horizon + 1, horizon)
    obs, actions = whole.transitions.obs, whole.transitions.action
    particles = np.asarray(_fan(key, model, obs, actions, jnp.asarray(starts), horizon=horizon))
    seen = starts + horizon <= steps
    return {"fan_starts": starts[seen], "fan_obs": particles[seen]}


_fan = eqx.filter_jit(fan)


@eqx.filter_jit
def _score(key: PRNGKeyArray, model: AbstractDynamics, whole: Piece, *, angles: tuple[int, ...]) -> OneStep:
    return one_step(key, model, whole.transitions, whole.valid, angles=angles)
