"""One trial on a pure environment, compiled: all of it in one scan, or in equal pieces that can be watched."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.envs import vector
from handful.envs.base import AbstractEnv
from handful.policies.base import AbstractPolicy
from handful.types import Transition


class Cursor(eqx.Module):
    """State of a trial between two pieces."""

    state: vector.VectorState  # stands still once the trial is over
    carry: Any  # the policy's
    over: Bool[Array, ""]  # terminated, truncated, or no longer finite


class Piece(eqx.Module):
    """Consecutive steps of a trial. Rows where `valid` is false came after its end or are not finite."""

    transitions: Transition
    valid: Bool[Array, "*t"]
    info: dict[str, Array]  # what the policy records of each step


def begin(key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy) -> Cursor:
    """A new trial: the environment is reset, and the policy's carry with it."""
    state = vector.reset(jax.random.fold_in(key, 0), env)
    env.task.check(obs=state.obs)
    return Cursor(state, policy.init(), jnp.asarray(False))


def advance(
    key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy, cursor: Cursor, *, steps: int
) -> tuple[Cursor, Piece]:
    """The next `steps` steps of the trial that `begin` started with the same key.

    Each step has its own key by its time, so cutting a trial into pieces changes nothing.
    """

    def step(cursor: Cursor, _: None) -> tuple[Cursor, Piece]:
        policy_key, env_key = jax.random.split(jax.random.fold_in(key, cursor.state.time + 1))
        action, carry = policy(policy_key, cursor.state.obs, cursor.carry)
        env.task.check(action=action)
        state, transition, ended = vector.advance(env_key, env, cursor.state, action)
        finite = jnp.isfinite(state.obs).all() & jnp.isfinite(transition.reward) & jnp.isfinite(action).all()
        state = jax.tree.map(lambda old, new: jnp.where(cursor.over, old, new), cursor.state, state)
        return Cursor(state, carry, cursor.over | ended), Piece(transition, ~cursor.over & finite, policy.info(carry))

    return jax.lax.scan(step, cursor, None, length=steps)


def episode(key: PRNGKeyArray, env: AbstractEnv, policy: AbstractPolicy) -> Piece:
    """A whole trial in one scan; `vmap` over keys runs many."""
    _, piece = advance(key, env, policy, begin(key, env, policy), steps=env.task.horizon)
    return piece


def returned(piece: Piece) -> Float[Array, ""]:
    """The undiscounted return of a trial."""
    return jnp.sum(jnp.where(piece.valid, piece.transitions.reward, 0.0))
