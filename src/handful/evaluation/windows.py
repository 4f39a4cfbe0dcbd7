"""Stretches of held-out trials: where rollouts start, what was done, and what came of it."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handful.data.angles import shorter_way
from handful.data.scaling import scale_of
from handful.errors import InputError
from handful.types import Transition

STARTS = 40  # of rollouts at most, evenly over all that the trials offer
_BREAK = 1e-3  # a gap between next_obs and the following obs above this share of the entry's std breaks a trial


class Windows(eqx.Module):
    """Rollouts to foretell. The change of an angle is taken along the shorter way round, so no turn is missed."""

    obs: Float[Array, "s o"]  # where they start
    actions: Float[Array, "s h a"]  # what was done
    truth: Float[Array, "s h o"]  # what came, 1 to h steps after the start
    scale: Float[Array, "h o"]  # the std of the change over 1 to h steps, in all stretches of the trials

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
    places = [(index, start) for index, (obs, _) in enumerate(pieces) for start in range(len(obs) - horizon)]
    if horizon < 1 or not places:
        longest = max((len(obs) - 1 for obs, _ in pieces), default=0)
        raise InputError(
            f"rollouts need trials of at least {max(horizon, 1)} unbroken steps, and the longest has {longest}; "
            "choose a shorter horizon or hold out longer trials"
        )
    changes = np.stack([pieces[index][0][start + 1 : start + horizon + 1] - pieces[index][0][start]
                        for index, start in places])  # fmt: skip
    size = np.abs(np.concatenate([obs for obs, _ in pieces])).max(0)
    chosen = np.unique(np.linspace(0, len(places) - 1, min(starts, len(places))).round().astype(int))
    firsts = [(*pieces[index], start) for index, start in (places[which] for which in chosen)]
    return Windows(
        jnp.asarray(np.stack([obs[start] for obs, _, start in firsts]), float),
        jnp.asarray(np.stack([actions[start : start + horizon] for _, actions, start in firsts]), float),
        jnp.asarray(np.stack([obs[start + 1 : start + horizon + 1] for obs, _, start in firsts]), float),
        scale_of(jnp.asarray(changes.std(0), float), jnp.asarray(size, float)),
    )


def longest(trials: Mapping[int, Transition], angles: tuple[int, ...] = ()) -> int:
    """The greatest horizon that `cut` can give."""
    return max((len(obs) - 1 for trial in trials.values() for obs, _ in unbroken(trial, angles)), default=0)


def unwound(trajectory: Float[Array, "*b t o"], angles: tuple[int, ...]) -> Float[Array, "*b t o"]:
    """The same trajectory with angles that go on past a half turn, as the steps say."""
    if not angles:
        return trajectory
    turned = jnp.unwrap(trajectory, axis=-2)
    return jnp.where(np.isin(np.arange(trajectory.shape[-1]), angles), turned, trajectory)


def unbroken(trial: Transition, angles: tuple[int, ...] = ()) -> list[tuple[np.ndarray, np.ndarray]]:
    """Observations, with the last one, and actions of each piece of a trial without a gap; angles are unwound."""
    obs, actions, next_obs = (np.asarray(x, float) for x in (trial.obs, trial.action, trial.next_obs))
    if not len(obs):
        return []
    gap = np.abs(shorter_way(obs[1:] - next_obs[:-1], angles))
    breaks = np.flatnonzero((gap > _BREAK * np.maximum(obs.std(0), 1e-6)).any(1)) + 1
    pieces = []
    for start, stop in zip([0, *breaks], [*breaks, len(obs)], strict=True):
        steps = shorter_way(next_obs[start:stop] - obs[start:stop], angles)
        wound = np.concatenate([obs[start : start + 1], next_obs[start:stop]])
        going_on = obs[start] + np.concatenate([np.zeros((1, obs.shape[1])), np.cumsum(steps, 0)])
        pieces.append((np.where(np.isin(np.arange(obs.shape[1]), angles), going_on, wound), actions[start:stop]))
    return pieces
