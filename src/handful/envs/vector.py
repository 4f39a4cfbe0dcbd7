"""Vectorised pure environments: `vmap` `reset` and `step`. A step that ends a trial also resets it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.envs.base import AbstractEnv
from handful.types import Transition


class VectorState(eqx.Module):
    """The state of one environment, or of n of them on a leading axis."""

    env_state: Any
    obs: Float[Array, "*n o"]
    time: Int[Array, "*n"]  # [steps] since the reset
    return_: Float[Array, "*n"]  # undiscounted, of the trial so far


class Ended(eqx.Module):
    """The trials that a step ended."""

    over: Bool[Array, "*n"]
    return_: Float[Array, "*n"]  # undiscounted, of a trial that is over; 0 otherwise
    steps: Int[Array, "*n"]  # that it lasted; 0 otherwise


def reset(key: PRNGKeyArray, env: AbstractEnv) -> VectorState:
    """An environment at the start of a trial."""
    env_state, obs = env.reset(key)
    return VectorState(env_state, obs, jnp.zeros((), int), jnp.zeros((), obs.dtype))


def step(
    key: PRNGKeyArray, env: AbstractEnv, state: VectorState, action: Float[Array, "a"]
) -> tuple[VectorState, Transition, Ended]:
    """One step of one environment, and a reset where it ends the trial."""
    step_key, reset_key = jax.random.split(key)
    going, transition, over = advance(step_key, env, state, action)
    following = jax.tree.map(lambda new, old: jnp.where(over, new, old), reset(reset_key, env), going)
    ended = Ended(over, jnp.where(over, going.return_, 0.0), jnp.where(over, going.time, 0))
    return following, transition, ended


def advance(
    key: PRNGKeyArray, env: AbstractEnv, state: VectorState, action: Float[Array, "a"]
) -> tuple[VectorState, Transition, Bool[Array, ""]]:
    """One step of one environment without a reset, and whether the trial is over with it.

    A trial ends by termination, by truncation after `task.horizon` steps, and where anything is not finite, which the
    transition then shows.
    """
    env_state, after = env.step(key, state.env_state, action)
    env.task.check(obs=after.obs)
    time, return_ = state.time + 1, state.return_ + after.reward
    truncated = (time >= env.task.horizon) & ~after.terminated
    finite = jnp.isfinite(after.obs).all() & jnp.isfinite(after.reward) & jnp.isfinite(action).all()
    transition = Transition(state.obs, action, after.reward, after.obs, after.terminated, truncated)
    return VectorState(env_state, after.obs, time, return_), transition, after.terminated | truncated | ~finite
