"""One trial on a pure environment, compiled: all of it in one scan, or in equal pieces that somebody can watch."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.envs.base import AbstractEnv
from handful.policies.base import AbstractPolicy
from handful.types import Transition

Watch = Callable[[Any], Any]  # picks what to record of a policy's carry


class Cursor(eqx.Module):
    """Where a trial stands between two pieces."""

    env_state: Any
    obs: Float[Array, "o"]
    carry: Any  # the policy's
    time: Int[Array, ""]  # [steps] since the reset; stands still once the trial is over
    over: Bool[Array, ""]  # terminated, truncated, or no longer finite


class Piece(eqx.Module):
    """What happened in one piece. Rows where `valid` is false came after the end and mean nothing."""

    transitions: Transition
    valid: Bool[Array, "*t"]
    watched: Any


def nothing(carry: Any) -> None:
    """Watch nothing."""


def begin(key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy) -> Cursor:
    """A fresh trial: reset the environment, and the policy's carry with it."""
    state, obs = env.reset(jax.random.fold_in(key, 0))
    env.task.check(obs=obs)
    return Cursor(state, obs, policy.init(), jnp.asarray(0), jnp.asarray(False))


def advance(
    key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy, cursor: Cursor, *, steps: int, watch: Watch = nothing
) -> tuple[Cursor, Piece]:
    """The next `steps` steps of the trial that `begin` started with the same key.

    Each step has its own key by its time, so the pieces that a trial is cut into change nothing.
    """

    def step(cursor: Cursor, _: None) -> tuple[Cursor, Piece]:
        policy_key, env_key = jax.random.split(jax.random.fold_in(key, cursor.time + 1))
        action, carry = policy(policy_key, cursor.obs, cursor.carry)
        env.task.check(action=action)
        state, after = env.step(env_key, cursor.env_state, action)
        env.task.check(obs=after.obs)
        time = cursor.time + ~cursor.over
        finite = jnp.isfinite(after.obs).all() & jnp.isfinite(after.reward) & jnp.isfinite(action).all()
        truncated = (time >= env.task.horizon) & ~after.terminated
        transition = Transition(cursor.obs, action, after.reward, after.obs, after.terminated, truncated)
        over = cursor.over | after.terminated | truncated | ~finite
        piece = Piece(transition, ~cursor.over & finite, watch(carry))
        return Cursor(state, after.obs, carry, time, over), piece

    return jax.lax.scan(step, cursor, None, length=steps)


def episode(key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy, watch: Watch = nothing) -> Piece:
    """A whole trial in one scan; `vmap` over keys runs many."""
    _, piece = advance(key, env, policy, begin(key, env, policy), steps=env.task.horizon, watch=watch)
    return piece


def returned(piece: Piece) -> Float[Array, ""]:
    """The undiscounted return of a trial."""
    return jnp.sum(jnp.where(piece.valid, piece.transitions.reward, 0.0))
