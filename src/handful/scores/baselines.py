"""Forecasts without a model, and by a linear one, that a model's errors are compared with: in the data's own units."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from handful.data.angles import shorter_way
from handful.scores.windows import Windows
from handful.types import Transition


@dataclass(frozen=True)
class Baselines:
    """Root mean squared errors 1 to h steps ahead, of each entry in its own unit, over the same windows."""

    unchanged: Float[np.ndarray, "h o"]  # of persistence: every entry stays as it was at the start
    linear: Float[np.ndarray, "h o"]  # of a linear model fitted to the training trials, rolled out
    scale: Float[np.ndarray, "h o"]  # one of a score's NRMSE in the entry's unit
    size: Float[np.ndarray, "o"]  # greatest magnitude that was measured

    def in_units(self, nrmse: Any) -> Float[np.ndarray, "h o"]:
        """Errors of a rollout's score, each entry in its own unit."""
        return np.asarray(nrmse, float) * self.scale


def baselines(trials: Mapping[int, Transition], windows: Windows, *, angles: tuple[int, ...] = ()) -> Baselines:
    """Errors in `windows`; the linear model is fitted to `trials`.

    It predicts the change of an observation by least squares from the observation, the action and one; an angle enters
    by its sine and cosine. In double precision, without regularisation.
    """
    rows = [np.concatenate([np.asarray(getattr(t, name), float) for t in trials.values()]) for name in _COLUMNS]
    obs, action, next_obs = rows
    mean, std = obs.mean(0), np.where(obs.std(0) > 0, obs.std(0), 1.0)

    def inputs(obs: Float[np.ndarray, "b o"], action: Float[np.ndarray, "b a"]) -> Float[np.ndarray, "b i"]:
        turned = obs[:, list(angles)]
        straight = np.delete((obs - mean) / std, list(angles), axis=1)
        return np.concatenate([straight, np.sin(turned), np.cos(turned), action, np.ones((len(obs), 1))], axis=1)

    change = np.asarray(shorter_way(next_obs - obs, angles), float)
    weights = np.linalg.lstsq(inputs(obs, action), change, rcond=None)[0]
    start, actions, truth = (np.asarray(each, float) for each in (windows.obs, windows.actions, windows.truth))
    reached, path = start, []
    with np.errstate(over="ignore", invalid="ignore"):  # an unstable model may leave the range of floats
        for ahead in range(windows.horizon):
            reached = reached + inputs(reached, actions[:, ahead]) @ weights
            path.append(reached)
        unchanged, linear = _rmse(truth - start[:, None]), _rmse(truth - np.stack(path, axis=1))
    size = np.abs(np.concatenate([start[:, None], truth], axis=1)).max((0, 1))
    return Baselines(unchanged, linear, np.asarray(windows.scale, float), size)


_COLUMNS = ("obs", "action", "next_obs")


def _rmse(error: Float[np.ndarray, "s h o"]) -> Float[np.ndarray, "h o"]:
    return np.nan_to_num(np.sqrt(np.square(error).mean(0)), nan=np.inf)
