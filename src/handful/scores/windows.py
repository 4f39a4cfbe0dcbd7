"""Windows of held-out trials: initial observations, actions, and the measurements that followed."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.data.angles import Numbers, shorter_way
from handful.data.scaling import scale_of
from handful.errors import InputError
from handful.types import Transition

STARTS = 40  # windows at most, evenly spaced over all that the trials hold
_BREAK = 1e-3  # a gap between next_obs and the following obs above this share of the entry's std breaks a trial


class Windows(eqx.Module):
    """Windows to predict. Angles are unwound: each change is taken along the shorter way round."""

    obs: Float[Array, "s o"]  # at the start
    actions: Float[Array, "s h a"]
    truth: Float[Array, "s h o"]  # measured 1 to h steps after the start
    scale: Float[Array, "h o"]  # std of the change over 1 to h steps, over the whole trials

    @property
    def horizon(self) -> int:
        return self.truth.shape[1]


def cut(
    trials: Mapping[int, Transition], horizon: int, *, angles: tuple[int, ...] = (), starts: int = STARTS
) -> Windows:
    """Windows of `horizon` steps that lie within one trial and cross no gap in it.

    Raises `InputError` where no trial is long enough.
    """
    pieces = [piece for trial in trials.values() for piece in unbroken(trial, angles)]
    windows = [
        (obs[start : start + horizon + 1], actions[start : start + horizon])
        for obs, actions in pieces
        for start in range(len(obs) - horizon)
    ]
    if horizon < 1 or not windows:
        raise InputError(
            f"rollouts need trials of at least {max(horizon, 1)} unbroken steps, and the longest has "
            f"{longest(trials, angles)}; choose a shorter horizon or hold out longer trials"
        )
    size = np.abs(np.concatenate([obs for obs, _ in pieces])).max(0)
    spread = np.stack([obs[1:] - obs[0] for obs, _ in windows]).std(0)
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(starts, len(windows))).round().astype(int))
    obs, actions = (np.stack(each) for each in zip(*(windows[which] for which in chosen), strict=True))
    first, actions, truth = (jnp.asarray(x, float) for x in (obs[:, 0], actions, obs[:, 1:]))
    return Windows(first, actions, truth, scale_of(jnp.asarray(spread, float), jnp.asarray(size, float)))


def longest(trials: Mapping[int, Transition], angles: tuple[int, ...] = ()) -> int:
    """The greatest horizon that `cut` can give."""
    return max((len(obs) - 1 for trial in trials.values() for obs, _ in unbroken(trial, angles)), default=0)


def unwound(trajectory: Numbers, angles: tuple[int, ...]) -> Numbers:
    """A trajectory "*b t o" with angles that go on past a half turn, wherever the sensor jumps by a turn."""
    if not angles:
        return trajectory
    of: Any = np if isinstance(trajectory, np.ndarray) else jnp
    return of.where(np.isin(np.arange(trajectory.shape[-1]), angles), of.unwrap(trajectory, axis=-2), trajectory)


def unbroken(trial: Transition, angles: tuple[int, ...] = ()) -> list[tuple[np.ndarray, np.ndarray]]:
    """Observations, with the last one, and actions of each piece of a trial without a gap; angles are unwound."""
    obs, actions, next_obs = (np.asarray(x, float) for x in (trial.obs, trial.action, trial.next_obs))
    if not len(obs):
        return []
    gap = np.abs(shorter_way(obs[1:] - next_obs[:-1], angles))
    rounding = np.finfo(np.float32).eps * np.abs(obs).max(0)
    breaks = np.flatnonzero((gap > np.maximum(_BREAK * obs.std(0), rounding)).any(1)) + 1
    pieces = []
    for start, stop in zip([0, *breaks], [*breaks, len(obs)], strict=True):
        seen = np.concatenate([obs[start : start + 1], next_obs[start:stop]])
        pieces.append((unwound(seen, angles), actions[start:stop]))
    return pieces
