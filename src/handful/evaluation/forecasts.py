"""What was expected against what came: the numbers behind the pictures. NaN stands for what is not known."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from handful.evaluation.metrics import WIDE, held, pit_samples
from handful.evaluation.windows import unwound

QUANTILES = ((1 - WIDE) / 2, 0.25, 0.5, 0.75, (1 + WIDE) / 2)  # the edges of both bands and the median


def realised(
    reward: Float[np.ndarray, "t"], horizon: int, *, discount: float = 1.0, terminated: bool = False
) -> Float[np.ndarray, "t"]:
    """For each step, the discounted sum of its reward and the `horizon - 1` after it.

    A trial that terminated pays nothing afterwards; after one that was cut off, nobody knows: NaN.
    """
    after = np.full(horizon, 0.0 if terminated else np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([reward, after]), horizon)
    return windows[: len(reward)] @ discount ** np.arange(horizon)


def realised_in(trial: dict[str, np.ndarray], discount: float) -> Float[np.ndarray, "t"]:
    """`realised` over the horizon that the trial's controller planned with."""
    ended = bool(trial["terminated"][-1:].any())
    return realised(trial["reward"], trial["plan"].shape[1], discount=discount, terminated=ended)


def happened(trial: dict[str, np.ndarray]) -> Float[np.ndarray, "s t o"]:
    """The observations that each forecast of a trial was about, beginning with the one that it started from."""
    horizon = trial["fan_obs"].shape[2] - 1
    pieces = [
        np.concatenate([trial["obs"][start : start + 1], trial["next_obs"][start : start + horizon]])
        for start in trial["fan_starts"]
    ]
    return np.stack(pieces)


def bands(particles: Float[np.ndarray, "s p t o"]) -> Float[np.ndarray, "q s t o"]:
    """Quantiles over particles at `QUANTILES`, of those that are finite.

    With p particles, the k-th in order stands at k / (p + 1), so a next draw from the same distribution falls between
    two quantiles as often as their levels say; other conventions make the band of few particles too narrow.
    """
    ordered = np.moveaxis(np.sort(np.where(np.isfinite(particles), particles, np.nan), axis=1), 1, 0)  # NaN last
    most = np.maximum(np.isfinite(ordered).sum(0) - 1, 0)
    place = np.clip(np.reshape(QUANTILES, (-1, 1, 1, 1)) * (most + 2) - 1, 0, most)
    below = np.floor(place).astype(int)
    low, high = (np.take_along_axis(ordered, index, axis=0) for index in (below, np.minimum(below + 1, most)))
    return low + (place - below) * (high - low)


def coverage(trial: dict[str, np.ndarray], angles: tuple[int, ...] = ()) -> float:
    """How often what happened lay inside the wide band, over all entries and all steps ahead but the start itself.

    A forecast with a particle that is not finite misses.
    """
    particles, truth = (going_on(one, angles)[..., 1:, :] for one in (trial["fan_obs"], happened(trial)))
    pit = pit_samples(jnp.asarray(truth, float), jnp.moveaxis(jnp.asarray(particles, float), 1, 0))
    return float(held(pit, WIDE).mean())


def going_on(trajectory: Float[np.ndarray, "*b t o"], angles: tuple[int, ...]) -> Float[np.ndarray, "*b t o"]:
    """`unwound`: trajectories from one start agree in their angles even where a sensor jumps by a turn."""
    return np.asarray(unwound(jnp.asarray(trajectory, float), angles))
