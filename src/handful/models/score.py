"""Scores of one-step predictions, for transitions that the belief was not fitted to."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.angles import shorter_way
from handful.data.scaling import Standardiser
from handful.models.base import AbstractDynamics, predicted
from handful.types import Prediction, Transition

LEAST_CHANGE = 1e-3  # of the greatest magnitude of an entry: the least std of its change that errors are divided by
FLOOR = 1e-6  # least std of a density, in stds of the change: so that a world without noise has a density


class OneStep(eqx.Module):
    """Scores on the standardised change of the observation: 1 is one std of the recorded change, in each entry.

    The std of an entry that hardly changes, such as the position of an object that is not touched, is taken as at
    least `LEAST_CHANGE` of the magnitude of the entry.
    """

    nll: Float[Array, ""]  # negative log-likelihood of the mixture over worlds [nats], mean over entries and rows
    rmse: Float[Array, ""]  # of the mixture's mean, mean square over entries and rows


def one_step(
    key: PRNGKeyArray,
    model: AbstractDynamics,
    rows: Transition,
    valid: Bool[Array, "b"],
    *,
    angles: tuple[int, ...] = (),
) -> OneStep:
    """Scores a belief on the rows where `valid` holds; errors of the entries `angles` are taken the shorter way round.

    A prediction that is not finite makes both scores infinite.
    """
    size = jnp.where(valid[:, None], jnp.abs(rows.obs), 0.0).max(0)
    scale = Standardiser.fit(shorter_way(rows.next_obs - rows.obs, angles), valid, size).std
    scale = jnp.maximum(scale, LEAST_CHANGE * size)
    each = in_worlds(key, model, rows.obs, rows.action)
    error = shorter_way(rows.next_obs - each.mean, angles) / scale
    std = jnp.maximum(jnp.sqrt(each.aleatoric) / scale, FLOOR)
    nll = nll_mixture(jnp.zeros_like(error[0]), error, std)
    return OneStep(_mean(nll, valid), infinite(jnp.sqrt(_mean(error.mean(0) ** 2, valid))))


def in_worlds(
    key: PRNGKeyArray, model: AbstractDynamics, obs: Float[Array, "b o"], action: Float[Array, "b a"]
) -> Prediction:
    """The prediction of each world of a belief for each transition; the leading axis is that of the worlds.

    A belief with unlimited worlds counts as one Gaussian with its mean and total variance: with little process noise,
    the densities of a few drawn worlds would be spikes with gaps between them.
    """

    def total(obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        prediction = predicted(model, obs, action)
        variance = prediction.aleatoric + prediction.epistemic
        return Prediction(prediction.mean, variance, jnp.zeros_like(variance))

    if model.world_count is None:
        return jax.tree.map(lambda leaf: leaf[None], jax.vmap(total)(obs, action))
    predict = eqx.filter_vmap(lambda world: jax.vmap(world.predict)(obs, action), axis_size=model.world_count)
    return predict(model.worlds(key, model.world_count))


def nll_mixture(y: Float[Array, "*b"], mean: Float[Array, "m *b"], std: Float[Array, "m *b"]) -> Float[Array, "*b"]:
    """Negative log of the mean density over members [nats]: a log-mean-exp, not a mean of logs.

    If a member is not finite, or its std is zero, the score is infinite.
    """
    finite = (jnp.isfinite(mean) & jnp.isfinite(std) & (std > 0)).all(0)
    density = logsumexp(norm.logpdf(y, mean, std), axis=0)
    return infinite(jnp.where(finite, jnp.log(mean.shape[0]) - density, jnp.inf))


def infinite(score: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """The score, with NaN replaced by infinity, the worst score."""
    return jnp.where(jnp.isnan(score), jnp.inf, score)


def _mean(values: Float[Array, "b o"], valid: Bool[Array, "b"]) -> Float[Array, ""]:
    total = jnp.sum(jnp.where(valid[:, None], values, 0.0))
    return total / (jnp.maximum(valid.sum(), 1) * values.shape[1])
