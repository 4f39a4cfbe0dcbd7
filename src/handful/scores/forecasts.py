"""Planned returns and forecasts of a trial against its measurements. NaN stands for what is not known."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from handful.scores.metrics import WIDE, pit_samples
from handful.scores.metrics import coverage as coverage_of
from handful.scores.windows import unwound

QUANTILES = ((1 - WIDE) / 2, 0.25, 0.5, 0.75, (1 + WIDE) / 2)  # the edges of both bands and the median


def realised(trial: dict[str, np.ndarray], discount: float) -> Float[np.ndarray, "t"]:
    """For each step, the discounted sum of rewards over the planning horizon of the trial's controller.

    After termination rewards are zero; after truncation they are unknown, and the sum is NaN.
    """
    horizon = trial["plan"].shape[1]
    after = np.full(horizon, 0.0 if trial["terminated"][-1:].any() else np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([trial["reward"], after]), horizon)
    return windows[:-1] @ discount ** np.arange(horizon)


def measured(trial: dict[str, np.ndarray]) -> Float[np.ndarray, "s t o"]:
    """The measured observations of each forecast of a trial, the initial one included."""
    starts, horizon = trial["fan_starts"], trial["fan_obs"].shape[2] - 1
    after = trial["next_obs"][starts[:, None] + np.arange(horizon)]
    return np.concatenate([trial["obs"][starts][:, None], after], axis=1)


def bands(particles: Float[np.ndarray, "s p t o"]) -> Float[np.ndarray, "q s t o"]:
    """Quantiles over particles at `QUANTILES`, of those that are finite.

    With p particles, the k-th in order stands at k / (p + 1), so that the next draw from the same distribution falls
    between two quantiles with the probability of their levels; other conventions make bands too narrow.
    """
    ordered = np.moveaxis(np.sort(np.where(np.isfinite(particles), particles, np.nan), axis=1), 1, 0)  # NaN last
    most = np.maximum(np.isfinite(ordered).sum(0) - 1, 0)
    place = np.clip(np.reshape(QUANTILES, (-1, 1, 1, 1)) * (most + 2) - 1, 0, most)
    below = np.floor(place).astype(int)
    low, high = (np.take_along_axis(ordered, index, axis=0) for index in (below, np.minimum(below + 1, most)))
    return low + (place - below) * (high - low)


def coverage(trial: dict[str, np.ndarray], angles: tuple[int, ...] = ()) -> float:
    """The share of measurements inside the 90 % band, over all entries and all steps ahead.

    A forecast with a particle that is not finite misses.
    """
    particles, truth = (unwound(one, angles)[..., 1:, :] for one in (trial["fan_obs"], measured(trial)))
    pit = pit_samples(jnp.asarray(truth, float), jnp.moveaxis(jnp.asarray(particles, float), 1, 0))
    return float(coverage_of(pit, WIDE).mean())
