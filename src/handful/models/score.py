"""How well a belief predicts one step ahead, on transitions that it has not been fitted on."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.angles import shorter_way
from handful.data.scaling import Standardiser
from handful.models.base import AbstractDynamics
from handful.types import Prediction, Transition

LEAST_CHANGE = 1e-3  # of an entry's greatest size: what changes less in a step counts as changing that much
FLOOR = 1e-6  # least std of a density, in stds of what was to be foretold: a world without noise has a density too


class OneStep(eqx.Module):
    """Scores on the standardised change of the observation: 1 is one std of what happened, in each entry.

    An entry that all but stays, such as an object that the hand barely touched, is no measure of errors: its std counts
    as `LEAST_CHANGE` of its size at the least.
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
    """Score a belief on the rows where `valid` holds; errors of the entries `angles` are the shorter way round.

    A prediction that is not finite makes both scores infinite.
    """
    size = jnp.where(valid[:, None], jnp.abs(rows.obs), 0.0).max(0)
    scale = Standardiser.fit(shorter_way(rows.next_obs - rows.obs, angles), valid, size).std
    scale = jnp.maximum(scale, LEAST_CHANGE * size)
    each = in_worlds(key, model, rows.obs, rows.action)
    error = shorter_way(rows.next_obs - each.mean, angles) / scale
    nll = nll_mixture(jnp.zeros_like(error[0]), error, jnp.sqrt(each.aleatoric) / scale)
    return OneStep(_mean(nll, valid), infinite(jnp.sqrt(_mean(error.mean(0) ** 2, valid))))


def in_worlds(
    key: PRNGKeyArray, model: AbstractDynamics, obs: Float[Array, "b o"], action: Float[Array, "b a"]
) -> Prediction:
    """What each of a belief's worlds foretells of each transition, the worlds leading.

    Endlessly many worlds are one Gaussian with the belief's mean and both of its variances: a few drawn ones would be
    spikes with gaps between them where process noise is small.
    """

    def whole(obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        told = model.predict(obs, action)
        return Prediction(told.mean, told.aleatoric + told.epistemic, jnp.zeros_like(told.mean))

    if model.world_count is None:
        return jax.tree.map(lambda leaf: leaf[None], jax.vmap(whole)(obs, action))
    predict = eqx.filter_vmap(lambda world: jax.vmap(world.predict)(obs, action), axis_size=model.world_count)
    return predict(model.worlds(key, model.world_count))


def nll_mixture(y: Float[Array, "*b"], mean: Float[Array, "m *b"], std: Float[Array, "m *b"]) -> Float[Array, "*b"]:
    """Negative log of the members' mean density [nats]: a log-mean-exp, not a mean of logs.

    No std counts as less than `FLOOR`; with a member that is not finite the score is infinite.
    """
    finite = (jnp.isfinite(mean) & jnp.isfinite(std)).all(0)
    density = logsumexp(norm.logpdf(y, mean, jnp.maximum(std, FLOOR)), axis=0)
    return infinite(jnp.where(finite, jnp.log(mean.shape[0]) - density, jnp.inf))


def infinite(score: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """A score that is not a number is the worst there is."""
    return jnp.where(jnp.isnan(score), jnp.inf, score)


def _mean(values: Float[Array, "b o"], valid: Bool[Array, "b"]) -> Float[Array, ""]:
    total = jnp.sum(jnp.where(valid[:, None], values, 0.0))
    return total / (jnp.maximum(valid.sum(), 1) * values.shape[1])
