"""The factor on a model's predicted stds, found on trials that it was not fitted on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
from jaxtyping import PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.models.recalibrated import Recalibrated
from handful.scores import metrics
from handful.scores.model_score import HORIZON, PARTICLES, forecasts, one_step_predictions, rollout_score
from handful.scores.windows import STARTS, cut
from handful.types import Transition

SEARCHED = (0.1, 10.0)  # interval of factors that is searched
_HALVINGS = 10  # of the interval's logarithm: the factor is found within 0.5 %


@dataclass(frozen=True)
class Calibration:
    """The factor and the coverage it gives."""

    factor: float  # whose coverage at the horizon is nearest to 90 %
    coverage: float  # at that factor
    before: float  # at factor one
    one_step: float  # factor that fits single steps best; rollouts need another
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
    """The model with the factor at which its 90 % band covers 90 % of `trials`, `horizon` steps ahead.

    Bisection on the factor's logarithm, with the same worlds and noise for every factor. A factor at which a particle
    becomes infinite counts as too large, and is taken only where all factors tried do that.

    Raises `InputError` where no trial is as long as the horizon.
    """
    step_key, roll_key = jax.random.split(key)
    windows = cut(trials, horizon, angles=angles, starts=starts)
    tried: dict[float, tuple[float, bool]] = {}  # coverage at each factor, and whether a particle became infinite

    def wide(factor: float) -> bool:
        fan = forecasts(roll_key, Recalibrated(belief, factor), windows, angles=angles, particles=particles)
        score = rollout_score(fan, windows)
        tried[factor] = float(score.coverage[-1].mean()), float(score.finite[-1]) < 1
        return tried[factor][0] >= metrics.WIDE or tried[factor][1]

    wide(1.0)
    low, high = map(math.log, SEARCHED)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if wide(math.exp(middle)) else (middle, high)
    factor = min(tried, key=lambda factor: (tried[factor][1], abs(tried[factor][0] - metrics.WIDE)))
    predicted = one_step_predictions(step_key, belief, trials, angles=angles)
    one_step = float(metrics.residual_factor(predicted.error, predicted.aleatoric + predicted.epistemic))
    return Recalibrated(belief, factor), Calibration(factor, tried[factor][0], tried[1.0][0], one_step, horizon)
