"""How far a belief's doubt must be stretched, found on trials that it has not been fitted on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
from jaxtyping import PRNGKeyArray

from handful.evaluation import metrics
from handful.evaluation.model_score import HORIZON, PARTICLES, Parts, forecasts, one_step_parts, rollout_score
from handful.evaluation.windows import STARTS, cut
from handful.models.base import AbstractDynamics
from handful.models.recalibrated import Recalibrated
from handful.types import Transition

SEARCHED = (0.1, 10.0)  # factors between which the answer is looked for
_HALVINGS = 10  # of the interval's logarithm: the factor is found within 0.5 %


@dataclass(frozen=True)
class Calibration:
    """What the search found."""

    factor: float  # gives the aimed-at coverage at the horizon, or comes nearest
    coverage: float  # at that factor
    before: float  # at factor one
    one_step: float  # the factor that fits single steps best; rollouts need another
    horizon: int


def recalibrate(
    key: PRNGKeyArray,
    belief: AbstractDynamics,
    trials: Mapping[int, Transition],
    *,
    horizon: int = HORIZON,
    angles: tuple[int, ...] = (),
    particles: int = PARTICLES,
    starts: int = STARTS,
) -> tuple[Recalibrated, Calibration]:
    """The belief whose rollouts hold the truth of `trials` in their 90 % band nine times of ten, `horizon` steps ahead.

    Bisection on the factor's logarithm; every factor meets the same worlds and the same noise. Where a factor throws a
    particle off to infinity, a smaller one is looked for, and it is taken only where all that were tried do.

    Raises `InputError` where no trial is as long as the horizon.
    """
    step_key, roll_key = jax.random.split(key)
    windows = cut(trials, horizon, angles=angles, starts=starts)
    coverages: dict[float, float] = {}
    bursting: dict[float, bool] = {}

    def wide(factor: float) -> bool:
        fan = forecasts(roll_key, Recalibrated(belief, factor), windows, angles=angles, particles=particles)
        score = rollout_score(fan, windows)
        coverages[factor], bursting[factor] = float(score.coverage[-1].mean()), float(score.finite[-1]) < 1
        return coverages[factor] >= metrics.WIDE or bursting[factor]

    wide(1.0)
    low, high = map(math.log, SEARCHED)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if wide(math.exp(middle)) else (middle, high)
    factor = min(coverages, key=lambda factor: (bursting[factor], abs(coverages[factor] - metrics.WIDE)))
    closed = one_step_factor(one_step_parts(step_key, belief, trials, angles=angles))
    return Recalibrated(belief, factor), Calibration(factor, coverages[factor], coverages[1.0], closed, horizon)


def one_step_factor(parts: Parts) -> float:
    """The factor that fits single steps best, in closed form: the root mean squared standardised residual."""
    return float(metrics.residual_factor(parts.error, parts.aleatoric + parts.epistemic))
