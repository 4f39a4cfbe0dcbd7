"""How well a belief foretells trials that it has not been fitted on: one step ahead, and over whole rollouts.

All scores are in units of what was to be foretold: an entry's error of 1 is one std of its change.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.angles import shorter_way
from handful.data.scaling import scale_of
from handful.evaluation import metrics
from handful.evaluation.windows import Windows, unwound
from handful.models.base import AbstractDynamics
from handful.models.score import FLOOR, in_worlds
from handful.policies.simple import OpenLoop
from handful.propagation.trajectory_sampling import TSInf
from handful.types import Transition

HORIZON = 25  # [steps] of rollouts
TOLD = (1, 5, 10, 20)  # [steps] at which tables tell the scores of rollouts, and the last step
PARTICLES = 60  # of a rollout, or the next multiple of the worlds
TRUSTED = 0.8  # least coverage of the 90 % band: below it, the truth is missed twice as often as claimed


class OneStepScore(eqx.Module):
    """One step ahead, for each entry of the observation."""

    nrmse: Float[Array, "o"]  # 1 knows only the mean change
    r2: Float[Array, "o"]  # 0 is as good as "nothing moves"
    nll: Float[Array, "o"]  # [nats] of the mixture over worlds
    nll_matched: Float[Array, "o"]  # [nats] of the Gaussian with the mixture's moments
    skill: Float[Array, "o"]  # [nats] that the mixture gains on the Gaussian with the data's mean and std
    crps: Float[Array, "o"]
    ece: Float[Array, "o"]
    coverage: Float[Array, "3 o"]  # of the central bands of 50, 90 and 95 %
    width: Float[Array, "3 o"]  # and how wide they are
    sharpness: Float[Array, "o"]  # root mean total variance
    aleatoric: Float[Array, "o"]  # root mean variance of process noise
    epistemic: Float[Array, "o"]  # root mean variance of the worlds' means
    spread_skill: Float[Array, "o"]  # 1 is honest, less is too sure
    pit: Float[Array, "b o"]  # of each transition


class RolloutScore(eqx.Module):
    """1 to h steps ahead, by particles that each stay in one world."""

    nrmse: Float[Array, "h o"]
    coverage: Float[Array, "h o"]  # of the 90 % band; a forecast with a particle that is not finite misses
    crps: Float[Array, "h o"]
    energy: Float[Array, "h"]  # of the whole observation
    spread_skill: Float[Array, "h o"]
    finite: Float[Array, "h"]  # the share of particles that are
    pit: Float[Array, "s h o"]  # of each window

    @property
    def trust_horizon(self) -> int:
        """The most steps up to which the coverage over starts and entries never falls below `TRUSTED`; 0 at worst."""
        return int(np.cumprod(np.asarray(self.coverage.mean(1)) >= TRUSTED).sum())


class Parts(eqx.Module):
    """What a belief says of each transition, in units of what was to be foretold."""

    change: Float[Array, "b o"]  # what happened
    error: Float[Array, "b o"]  # of the belief's mean
    aleatoric: Float[Array, "b o"]  # variances
    epistemic: Float[Array, "b o"]
    mean: Float[Array, "m b o"]  # the change that each world foretells, an angle's beside what happened
    std: Float[Array, "m b o"]


def one_step_score(
    key: PRNGKeyArray, model: AbstractDynamics, trials: Mapping[int, Transition], *, angles: tuple[int, ...] = ()
) -> OneStepScore:
    """Score a belief on all transitions of `trials`, as the mixture over its worlds."""
    return _one_step_score(one_step_parts(key, model, trials, angles=angles))


def one_step_parts(
    key: PRNGKeyArray, model: AbstractDynamics, trials: Mapping[int, Transition], *, angles: tuple[int, ...] = ()
) -> Parts:
    """What is scored by `one_step_score`."""
    obs, action, next_obs = (
        jnp.concatenate([getattr(trial, name) for trial in trials.values()]) for name in ("obs", "action", "next_obs")
    )
    return _parts(key, model, obs, action, next_obs, angles=angles)


def forecasts(
    key: PRNGKeyArray,
    model: AbstractDynamics,
    windows: Windows,
    *,
    angles: tuple[int, ...] = (),
    particles: int = PARTICLES,
) -> Float[Array, "s p h o"]:
    """Particles by TS-infinity that follow the actions of each window. The same key, the same worlds and noise."""
    worlds = model.world_count or 1
    count = -(-particles // worlds) * worlds
    return _forecasts(key, model, windows.obs, windows.actions, angles=angles, particles=count)


@eqx.filter_jit
def rollout_score(particles: Float[Array, "s p h o"], windows: Windows) -> RolloutScore:
    """Score the particles of `forecasts` against what came."""
    samples = jnp.moveaxis(particles, 1, 0) / windows.scale
    truth = windows.truth / windows.scale
    error = truth - samples.mean(0)
    pit = metrics.pit_samples(truth, samples)
    return RolloutScore(
        nrmse=metrics.nrmse(error, jnp.ones(error.shape[1:])),
        coverage=metrics.held(pit, metrics.WIDE),
        crps=metrics.crps_samples(truth, samples).mean(0),
        energy=metrics.energy_score(truth, samples).mean(0),
        spread_skill=metrics.spread_over_skill(error, metrics.spread_of_samples(samples)),
        finite=jnp.isfinite(samples).all(-1).mean((0, 1)),
        pit=pit,
    )


@eqx.filter_jit
def _parts(
    key: PRNGKeyArray,
    model: AbstractDynamics,
    obs: Float[Array, "b o"],
    action: Float[Array, "b a"],
    next_obs: Float[Array, "b o"],
    *,
    angles: tuple[int, ...],
) -> Parts:
    change = shorter_way(next_obs - obs, angles)
    scale = scale_of(change.std(0), jnp.abs(obs).max(0))
    belief, each = jax.vmap(model.predict)(obs, action), in_worlds(key, model, obs, action)
    error = shorter_way(next_obs - belief.mean, angles)
    # No turn may fall between what happened, the belief's mean and the worlds' means.
    mean = change - error + shorter_way(each.mean - belief.mean, angles)
    return Parts(
        change=change / scale,
        error=error / scale,
        aleatoric=belief.aleatoric / scale**2,
        epistemic=belief.epistemic / scale**2,
        mean=mean / scale,
        std=jnp.maximum(jnp.sqrt(each.aleatoric) / scale, FLOOR),
    )


@eqx.filter_jit
def _one_step_score(parts: Parts) -> OneStepScore:
    total = parts.aleatoric + parts.epistemic
    one = jnp.ones(parts.error.shape[1])
    nll = metrics.nll_mixture(parts.change, parts.mean, parts.std).mean(0)
    matched = metrics.nll_gaussian(parts.error, jnp.zeros_like(parts.error), jnp.sqrt(total))
    pit = metrics.pit_mixture(parts.change, parts.mean, parts.std)
    return OneStepScore(
        nrmse=metrics.nrmse(parts.error, one),
        r2=metrics.r2(parts.error, parts.change),
        nll=nll,
        nll_matched=matched.mean(0),
        skill=metrics.constant_nll(one) - nll,
        crps=metrics.crps_mixture(parts.change, parts.mean, parts.std).mean(0),
        ece=metrics.ece(pit),
        coverage=jnp.stack([metrics.held(pit, level) for level in metrics.BANDS]),
        width=jnp.stack([metrics.width_mixture(parts.mean, parts.std, level).mean(0) for level in metrics.BANDS]),
        sharpness=metrics.sharpness(total),
        aleatoric=metrics.sharpness(parts.aleatoric),
        epistemic=metrics.sharpness(parts.epistemic),
        spread_skill=metrics.spread_over_skill(parts.error, total),
        pit=pit,
    )


@eqx.filter_jit
def _forecasts(
    key: PRNGKeyArray,
    model: AbstractDynamics,
    obs: Float[Array, "s o"],
    actions: Float[Array, "s h a"],
    *,
    angles: tuple[int, ...],
    particles: int,
) -> Float[Array, "s p h o"]:
    propagator = TSInf(particles)

    def one(key: PRNGKeyArray, obs: Float[Array, "o"], plan: Float[Array, "h a"]) -> Float[Array, "p h o"]:
        rollout = propagator(key, model, OpenLoop(plan), obs, plan.shape[0])
        return unwound(rollout.obs, angles)[:, 1:]

    return jax.vmap(one)(jax.random.split(key, obs.shape[0]), obs, actions)
