"""How well a belief predicts one step ahead, on transitions that it has not been fitted on."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.scaling import Standardiser
from handful.models.base import AbstractDynamics
from handful.types import Transition

ENDLESS = 20  # worlds drawn from a belief that holds endlessly many


class OneStep(eqx.Module):
    """Scores on the standardised change of the observation: 1 is one std of what happened, in each entry."""

    nll: Float[Array, ""]  # negative log-likelihood of the mixture over worlds [nats], mean over entries and rows
    rmse: Float[Array, ""]  # of the mixture's mean, mean square over entries and rows


def one_step(key: PRNGKeyArray, model: AbstractDynamics, rows: Transition, valid: Bool[Array, "b"]) -> OneStep:
    """Score a belief on the rows where `valid` holds.

    The density of an entry is the mean over worlds of Gaussian densities: a log-mean-exp, not a mean of logs.
    """
    scale = Standardiser.fit(rows.next_obs - rows.obs, valid)
    worlds = model.worlds(key, model.world_count or ENDLESS)

    def in_world(world: AbstractDynamics) -> tuple[Float[Array, "b o"], Float[Array, "b o"]]:
        prediction = jax.vmap(world.predict)(rows.obs, rows.action)
        return prediction.mean, prediction.aleatoric

    mean, var = eqx.filter_vmap(in_world)(worlds)
    error = (rows.next_obs - mean) / scale.std
    std = jnp.sqrt(var) / scale.std
    density = jax.scipy.stats.norm.logpdf(error, scale=std)
    log_mean = jax.scipy.special.logsumexp(density, axis=0) - jnp.log(density.shape[0])
    return OneStep(_mean(-log_mean, valid), jnp.sqrt(_mean(error.mean(0) ** 2, valid)))


def _mean(values: Float[Array, "b o"], valid: Bool[Array, "b"]) -> Float[Array, ""]:
    total = jnp.sum(jnp.where(valid[:, None], values, 0.0))
    return total / (jnp.maximum(valid.sum(), 1) * values.shape[1])
