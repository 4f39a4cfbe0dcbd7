"""Forecasts of a belief along a recorded trial."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.policies.simple import OpenLoop
from handful.propagation.trajectory_sampling import TSInf

PARTICLES = 20


def fan(
    key: PRNGKeyArray,
    model: AbstractDynamics,
    obs: Float[Array, "t o"],
    actions: Float[Array, "t a"],
    starts: Int[Array, "s"],
    *,
    horizon: int,
) -> Float[Array, "s p {horizon}+1 o"]:
    """Particles that follow the recorded actions for `horizon` steps from each start."""
    worlds = model.world_count or PARTICLES
    propagator = TSInf(worlds * max(1, round(PARTICLES / worlds)))

    def forecast(start: Int[Array, ""]) -> Float[Array, "p _ o"]:
        plan = jax.lax.dynamic_slice_in_dim(actions, start, horizon)
        return propagator(key, model, OpenLoop(plan), obs[start], horizon).obs

    return jax.vmap(forecast)(jnp.asarray(starts))
