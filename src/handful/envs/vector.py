"""Copies of a pure environment side by side, each begun anew in the step that ends its trial."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.envs.base import AbstractEnv
from handful.types import Transition


class Lane(eqx.Module):
    """Where one copy stands."""

    env_state: Any
    obs: Float[Array, "*n o"]
    time: Int[Array, "*n"]  # [steps] since its trial began
    return_: Float[Array, "*n"]  # of its trial so far


class Ended(eqx.Module):
    """The trials that a step ended."""

    over: Bool[Array, "*n"]
    return_: Float[Array, "*n"]  # undiscounted, of a trial that is over; 0 otherwise
    steps: Int[Array, "*n"]  # that it lasted; 0 otherwise


def enter(key: PRNGKeyArray, env: AbstractEnv) -> Lane:
    """A copy at the start of a trial."""
    state, obs = env.reset(key)
    return Lane(state, obs, jnp.zeros((), int), jnp.zeros((), obs.dtype))


def go(key: PRNGKeyArray, env: AbstractEnv, lane: Lane, action: Float[Array, "a"]) -> tuple[Lane, Transition, Ended]:
    """One step of one copy. The transition's `next_obs` is the true one; the lane's is that of the new trial.

    A trial that is not a number anywhere is over too, and the transition shows it.
    """
    step_key, reset_key = jax.random.split(key)
    state, after = env.step(step_key, lane.env_state, action)
    time, return_ = lane.time + 1, lane.return_ + after.reward
    truncated = (time >= env.task.horizon) & ~after.terminated
    finite = jnp.isfinite(after.obs).all() & jnp.isfinite(after.reward) & jnp.isfinite(action).all()
    over = after.terminated | truncated | ~finite
    transition = Transition(lane.obs, action, after.reward, after.obs, after.terminated, truncated)
    going = Lane(state, after.obs, time, return_)
    following = jax.tree.map(lambda new, old: jnp.where(over, new, old), enter(reset_key, env), going)
    return following, transition, Ended(over, jnp.where(over, return_, 0.0), jnp.where(over, time, 0))
