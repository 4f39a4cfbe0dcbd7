"""Scores of a model on held-out trials, one step ahead and over whole rollouts, and its recalibration.

All scores are in stds of the change: an error of 1 in an entry predicts only its mean change.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.angles import shorter_way
from handful.data.scaling import scale_of
from handful.models.base import AbstractDynamics
from handful.models.recalibrated import Recalibrated
from handful.models.score import FLOOR, in_worlds, nll_mixture
from handful.policies.simple import OpenLoop
from handful.propagation.trajectory_sampling import TSInf
from handful.scores import metrics
from handful.scores.trust import COVERED
from handful.scores.windows import STARTS, Windows, cut, unwound
from handful.types import Transition

HORIZON = 25  # [steps] of rollouts
STEPS = (1, 5, 10, 20)  # ahead, at which tables hold the scores of rollouts, and at the last step
PARTICLES = 60  # of a rollout; rounded up to a multiple of the model's worlds
SEARCHED = (0.1, 10.0)  # interval of factors on the predicted stds that is searched
_HALVINGS = 10  # of the interval's logarithm: the factor is found within 0.5 %


class OneStepScore(eqx.Module):
    """One step ahead, for each entry of the observation."""

    nrmse: Float[Array, "o"]  # 1: predicts only the mean change
    r2: Float[Array, "o"]  # 0: as good as predicting no change
    nll: Float[Array, "o"]  # [nats] of the mixture over worlds
    nll_matched: Float[Array, "o"]  # [nats] of the Gaussian with the mixture's moments
    skill: Float[Array, "o"]  # [nats] gained over the Gaussian with the data's mean and std
    crps: Float[Array, "o"]
    ece: Float[Array, "o"]
    coverage: Float[Array, "3 o"]  # of the central bands `metrics.BANDS`
    width: Float[Array, "3 o"]  # of these bands
    sharpness: Float[Array, "o"]  # root mean total variance
    aleatoric: Float[Array, "o"]  # root mean variance of process noise
    epistemic: Float[Array, "o"]  # root mean variance of the worlds' means
    spread_skill: Float[Array, "o"]  # 1: calibrated, less: overconfident
    pit: Float[Array, "b o"]  # probability integral transform of each transition


class RolloutScore(eqx.Module):
    """Scores 1 to h steps ahead, from particles that each stay in one world of the model."""

    nrmse: Float[Array, "h o"]
    coverage: Float[Array, "h o"]  # of the 90 % band; a forecast with a particle that is not finite misses
    crps: Float[Array, "h o"]
    energy: Float[Array, "h"]  # of the whole observation
    spread_skill: Float[Array, "h o"]
    finite: Float[Array, "h"]  # share of finite particles
    pit: Float[Array, "s h o"]  # of each window

    @property
    def trust_horizon(self) -> int:
        """The steps ahead before the coverage over starts and entries first falls below `COVERED`."""
        return int(np.cumprod(np.asarray(self.coverage.mean(1)) >= COVERED).sum())


class OneStepPrediction(eqx.Module):
    """Predictions of each transition, in stds of the change."""

    change: Float[Array, "b o"]  # measured
    error: Float[Array, "b o"]  # of the model's mean
    aleatoric: Float[Array, "b o"]  # variances
    epistemic: Float[Array, "b o"]
    mean: Float[Array, "m b o"]  # of the change in each world; angles on the branch of the measured one
    std: Float[Array, "m b o"]


@eqx.filter_jit
def one_step_predictions(
    key: PRNGKeyArray, model: AbstractDynamics, trials: Mapping[int, Transition], *, angles: tuple[int, ...] = ()
) -> OneStepPrediction:
    """Predictions of all transitions of `trials`, and their errors."""
    rows = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *trials.values())
    change = shorter_way(rows.next_obs - rows.obs, angles)
    scale = scale_of(change.std(0), jnp.abs(rows.obs).max(0))
    model_mean = jax.vmap(model.predict)(rows.obs, rows.action)
    each = in_worlds(key, model, rows.obs, rows.action)
    error = shorter_way(rows.next_obs - model_mean.mean, angles)
    # Measured angle, model's mean and worlds' means must lie on one branch.
    mean = change - error + shorter_way(each.mean - model_mean.mean, angles)
    return OneStepPrediction(
        change=change / scale,
        error=error / scale,
        aleatoric=model_mean.aleatoric / scale**2,
        epistemic=model_mean.epistemic / scale**2,
        mean=mean / scale,
        std=jnp.maximum(jnp.sqrt(each.aleatoric) / scale, FLOOR),
    )


@eqx.filter_jit
def one_step_score(
    key: PRNGKeyArray, model: AbstractDynamics, trials: Mapping[int, Transition], *, angles: tuple[int, ...] = ()
) -> OneStepScore:
    """Score a model on all transitions of `trials`, as the mixture over its worlds."""
    predicted = one_step_predictions(key, model, trials, angles=angles)
    change, error, mixture = predicted.change, predicted.error, (predicted.mean, predicted.std)
    total = predicted.aleatoric + predicted.epistemic
    nll, pit = nll_mixture(change, *mixture).mean(0), metrics.pit_mixture(change, *mixture)
    return OneStepScore(
        nrmse=metrics.nrmse(error),
        r2=metrics.r2(error, change),
        nll=nll,
        nll_matched=nll_mixture(error, jnp.zeros_like(error[None]), jnp.maximum(jnp.sqrt(total), FLOOR)[None]).mean(0),
        skill=metrics.CONSTANT_NLL - nll,
        crps=metrics.crps_mixture(change, *mixture).mean(0),
        ece=metrics.ece(pit),
        coverage=jnp.stack([metrics.coverage(pit, level) for level in metrics.BANDS]),
        width=jnp.stack([metrics.width_mixture(*mixture, level).mean(0) for level in metrics.BANDS]),
        sharpness=metrics.sharpness(total),
        aleatoric=metrics.sharpness(predicted.aleatoric),
        epistemic=metrics.sharpness(predicted.epistemic),
        spread_skill=metrics.spread_over_skill(error, total),
        pit=pit,
    )


@eqx.filter_jit
def forecasts(
    key: PRNGKeyArray,
    model: AbstractDynamics,
    windows: Windows,
    *,
    angles: tuple[int, ...] = (),
    particles: int = PARTICLES,
) -> Float[Array, "s p h o"]:
    """Particles by TS-infinity under the actions of each window. The same key gives the same worlds and noise."""
    worlds = model.world_count or 1
    propagator = TSInf(-(-particles // worlds) * worlds)

    def one(key: PRNGKeyArray, obs: Float[Array, "o"], plan: Float[Array, "h a"]) -> Float[Array, "p h o"]:
        return unwound(propagator(key, model, OpenLoop(plan), obs, plan.shape[0]).obs, angles)[:, 1:]

    return jax.vmap(one)(jax.random.split(key, len(windows.obs)), windows.obs, windows.actions)


@eqx.filter_jit
def rollout_score(particles: Float[Array, "s p h o"], windows: Windows) -> RolloutScore:
    """Score the particles of `forecasts` against the measurements."""
    samples = jnp.moveaxis(particles, 1, 0) / windows.scale
    truth = windows.truth / windows.scale
    error = truth - samples.mean(0)
    pit = metrics.pit_samples(truth, samples)
    return RolloutScore(
        nrmse=metrics.nrmse(error),
        coverage=metrics.coverage(pit, metrics.WIDE),
        crps=metrics.crps_samples(truth, samples).mean(0),
        energy=metrics.energy_score(truth, samples).mean(0),
        spread_skill=metrics.spread_over_skill(error, metrics.spread_of_samples(samples)),
        finite=jnp.isfinite(samples).all(-1).mean((0, 1)),
        pit=pit,
    )


@dataclass(frozen=True)
class Calibration:
    """The factor and the coverage it gives."""

    factor: float  # whose coverage at the horizon is nearest to 90 %
    coverage: float  # at that factor
    before: float  # at factor one
    one_step: float  # factor that fits single steps best; rollouts need another
    horizon: int
    at_limit: bool = False  # the search ran into an end of `SEARCHED`: a better factor may lie beyond


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
    becomes infinite counts as too large, and is taken only where all factors tried do that. Where the search ran into
    a limit, of factors with the same coverage the one nearest to the limit is taken.

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
    low, high = ends = tuple(map(math.log, SEARCHED))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if wide(math.exp(middle)) else (middle, high)
    at_limit = low == ends[0] or high == ends[1]
    order = reversed(tried) if at_limit else tried
    factor = min(order, key=lambda factor: (tried[factor][1], abs(tried[factor][0] - metrics.WIDE)))
    predicted = one_step_predictions(step_key, belief, trials, angles=angles)
    one_step = float(metrics.residual_factor(predicted.error, predicted.aleatoric + predicted.epistemic))
    calibration = Calibration(factor, tried[factor][0], tried[1.0][0], one_step, horizon, at_limit)
    return Recalibrated(belief, factor), calibration
