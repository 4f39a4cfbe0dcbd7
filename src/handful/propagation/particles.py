"""The rollout that every propagator shares."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.policies.base import AbstractPolicy
from handful.types import Rollout

Move = Callable[[PRNGKeyArray, Float[Array, "p o"], Float[Array, "p a"]], Float[Array, "p o"]]


def roll(
    key: PRNGKeyArray, move: Move, policy: AbstractPolicy, obs: Float[Array, "o"], *, particles: int, horizon: int
) -> Rollout:
    """`particles` copies of `obs`, each asking `policy` and moved by `move`, for `horizon` steps."""

    def everyone(value: Array) -> Array:
        return jnp.broadcast_to(value, (particles, *jnp.shape(value)))

    def step(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, tuple]:
        obs, memory = carry
        policy_key, move_key = jax.random.split(key)
        action, memory = jax.vmap(policy)(jax.random.split(policy_key, particles), obs, memory)
        following = move(move_key, obs, action)
        return (following, memory), (following, action)

    start = (everyone(obs), jax.tree.map(everyone, policy.init()))
    _, (following, actions) = jax.lax.scan(step, start, jax.random.split(key, horizon))
    trajectory = jnp.concatenate([start[0][None], following])
    return Rollout(jnp.swapaxes(trajectory, 0, 1), jnp.swapaxes(actions, 0, 1))
