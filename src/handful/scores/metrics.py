"""Scores of forecasts: functions on arrays, one formula each.

The leading axis is of members of a mixture or of samples; averages are over the first axis that is left. Values that
are not finite make a score infinite or count as a miss; they are never left out.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Int

from handful.models.score import infinite

LEVELS = np.arange(1, 20) / 20  # probabilities at which calibration is measured
WIDE = 0.9  # probability of the central band behind trust horizons and figures
BANDS = (0.5, WIDE, 0.95)  # probabilities of bands whose coverage and width are reported
CONSTANT_NLL = 0.5 * np.log(2 * np.pi * np.e)  # [nats] of the Gaussian with mean and std of the targets, in their stds
_HALVINGS = 40  # of an interval, after which float32 sees no difference


def nrmse(error: Float[Array, "b *c"]) -> Float[Array, "*c"]:
    """Root mean squared error; of errors in stds of the targets, 1 predicts only their mean."""
    return infinite(sharpness(error**2))


def r2(error: Float[Array, "b *c"], change: Float[Array, "b *c"]) -> Float[Array, "*c"]:
    """The share of the squared change that is predicted: 0 is as good as predicting no change, 1 is perfect.

    NaN where nothing changes.
    """
    moved = jnp.sum(change**2, 0)
    return 1 - infinite(jnp.sum(error**2, 0)) / jnp.where(moved > 0, moved, jnp.nan)


def crps_mixture(y: Float[Array, "*b"], mean: Float[Array, "m *b"], std: Float[Array, "m *b"]) -> Float[Array, "*b"]:
    """Continuous ranked probability score of an equal mixture of Gaussians, in units of y: `E|X - y| - E|X - X'| / 2`.

    Source: [Grimit06]. Deviates: no.
    """
    to_truth = _mean_abs(y - mean, std).mean(0)
    between = jax.lax.map(lambda one: _mean_abs(one[0] - mean, jnp.hypot(one[1], std)).mean(0), (mean, std))
    return infinite(to_truth - between.mean(0) / 2)


def crps_samples(y: Float[Array, "*b"], samples: Float[Array, "p *b"]) -> Float[Array, "*b"]:
    """As `crps_mixture`, an unbiased estimate from at least two independent samples, which are sorted for it."""
    count = samples.shape[0]
    ranks = (2.0 * jnp.arange(1, count + 1) - count - 1).reshape(-1, *[1] * y.ndim)
    between = (ranks * jnp.sort(samples, axis=0)).sum(0) / (count * (count - 1))  # half of E|X - X'|
    return infinite(jnp.abs(samples - y).mean(0) - between)


def energy_score(y: Float[Array, "*b o"], samples: Float[Array, "p *b o"]) -> Float[Array, "*b"]:
    """`E|X - y| - E|X - X'| / 2` with the Euclidean norm: the CRPS of vectors, which depends on their correlations."""
    count = samples.shape[0]
    between = jax.lax.map(lambda one: jnp.linalg.norm(one - samples, axis=-1).sum(0), samples).sum(0)
    return infinite(jnp.linalg.norm(samples - y, axis=-1).mean(0) - between / (2 * count * (count - 1)))


def pit_mixture(y: Float[Array, "*b"], mean: Float[Array, "m *b"], std: Float[Array, "m *b"]) -> Float[Array, "*b"]:
    """The mixture's cumulative probability at y, uniformly distributed if the forecasts are calibrated.

    NaN, which is a miss, where a member is not finite.
    """
    finite = (jnp.isfinite(mean) & jnp.isfinite(std)).all(0)
    return jnp.where(finite, ndtr((y - mean) / std).mean(0), jnp.nan)


def pit_samples(y: Float[Array, "*b"], samples: Float[Array, "p *b"]) -> Float[Array, "*b"]:
    """The rank of y among samples, from 0 to 1; NaN, which is a miss, where a sample is not finite.

    The k-th of p samples in order has the rank `k / (p + 1)`; ranks are interpolated between neighbours. Beyond the
    ends nothing tells how far out y lies: its rank is drawn uniformly between the end and 0 or 1, with the same numbers
    in every call. If y is a draw from the distribution of the samples, bands then contain it with their probability
    whatever p is; with fewer than `least_samples` they also count a share of all that lies outside the samples.

    Source: [Czado09] section 2, the randomised PIT. Deviates: randomised only beyond the ends.
    """
    count, ordered = samples.shape[0], jnp.sort(samples, 0)
    below, up_to = jnp.sum(samples < y, 0), jnp.sum(samples <= y, 0)
    at = lambda rank: jnp.take_along_axis(ordered, jnp.clip(rank, 0, count - 1)[None], 0)[0]
    low, high = at(below - 1), at(up_to)
    inside = (below == up_to) & (below > 0) & (below < count) & (low < high)
    drawn = jax.random.uniform(jax.random.key(0), below.shape, samples.dtype)
    tied = jnp.where(below == up_to, drawn, (up_to - below + 1) / 2)  # the middle of the samples that equal y
    part = jnp.where(inside, (y - low) / jnp.where(inside, high - low, 1.0), tied)
    return jnp.where(jnp.isfinite(samples).all(0), (below + part) / (count + 1), jnp.nan)


def least_samples(level: float) -> int:
    """The fewest samples of which the central band of that probability can count all beyond the ends as missed.

    >>> least_samples(0.9), least_samples(0.95)
    (19, 39)
    """
    return math.ceil(round(2 / (1 - level), 6)) - 1


def coverage(pit: Float[Array, "b *c"], level: float | Float[Array, ""]) -> Float[Array, "*c"]:
    """The coverage of the central band of probability `level`."""
    return jnp.mean(jnp.abs(pit - 0.5) <= level / 2, axis=0)


def ece(pit: Float[Array, "b *c"], levels: Float[np.ndarray, "l"] = LEVELS) -> Float[Array, "*c"]:
    """Expected calibration error: the mean distance of `coverage` from the level."""
    return jax.lax.map(lambda level: jnp.abs(coverage(pit, level) - level), jnp.asarray(levels, float)).mean(0)


def width_mixture(mean: Float[Array, "m *b"], std: Float[Array, "m *b"], level: float) -> Float[Array, "*b"]:
    """The width of the central band of a mixture, by bisection."""
    return quantile_mixture(mean, std, (1 + level) / 2) - quantile_mixture(mean, std, (1 - level) / 2)


def quantile_mixture(mean: Float[Array, "m *b"], std: Float[Array, "m *b"], level: float) -> Float[Array, "*b"]:
    """The mixture's quantile, by bisection between the least and the greatest of the members'."""
    each = mean + ndtri(level) * std

    def halve(_: Int[Array, ""], ends: tuple[Float[Array, "*b"], Float[Array, "*b"]]) -> tuple:
        low, high = ends
        middle = (low + high) / 2
        short = pit_mixture(middle, mean, std) < level
        return jnp.where(short, middle, low), jnp.where(short, high, middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (each.min(0), each.max(0)))
    return (low + high) / 2


def sharpness(var: Float[Array, "b *c"]) -> Float[Array, "*c"]:
    """The root mean predicted variance."""
    return jnp.sqrt(var.mean(0))


def spread_over_skill(error: Float[Array, "b *c"], var: Float[Array, "b *c"]) -> Float[Array, "*c"]:
    """Predicted over measured root mean square error: 1 is calibrated, below 1 overconfident.

    0 where either is not finite; NaN where both are zero.
    """
    predicted, measured = sharpness(var), sharpness(error**2)
    return jnp.where(jnp.isfinite(predicted) & jnp.isfinite(measured), predicted / measured, 0.0)


def spread_of_samples(samples: Float[Array, "p *b"]) -> Float[Array, "*b"]:
    """The predicted variance of a measurement around the mean of p samples: that of the samples and of their mean.

    Source: [Fortin14]. Deviates: no.
    """
    count = samples.shape[0]
    return (count + 1) / count * jnp.var(samples, 0, ddof=1)


def residual_factor(error: Float[Array, "*b"], var: Float[Array, "*b"]) -> Float[Array, ""]:
    """The factor on every std with the greatest likelihood: the root mean squared standardised residual."""
    return infinite(jnp.sqrt(jnp.mean(jnp.where(error == 0, 0.0, error**2 / var))))


def _mean_abs(offset: Float[Array, "*b"], std: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """`E|offset + std * normal|`."""
    z = offset / std
    return jnp.where(std == 0, jnp.abs(offset), 2 * std * norm.pdf(z) + offset * (2 * ndtr(z) - 1))
