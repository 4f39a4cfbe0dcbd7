"""The rollout that every propagator shares."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.policies.base import AbstractPolicy
from handful.types import Rollout

Draw = Callable[[PRNGKeyArray], Any]  # the randomness of one step
Move = Callable[[Any, Float[Array, "p o"], Float[Array, "p a"]], Float[Array, "p o"]]


def roll(
    key: PRNGKeyArray,
    policy: AbstractPolicy,
    obs: Float[Array, "o"],
    *,
    draw: Draw,
    move: Move,
    particles: int,
    horizon: int,
) -> Rollout:
    """`particles` copies of `obs`, each asking `policy` and moved by `move`, for `horizon` steps.

    The randomness of all steps is drawn at once, before the first: many small draws would cost more than the nets.
    """
    policy_key, move_key = jax.random.split(key)

    def everyone(value: Array) -> Array:
        return jnp.broadcast_to(value, (particles, *jnp.shape(value)))

    def step(carry: tuple, drawn: tuple) -> tuple[tuple, tuple]:
        obs, memory = carry
        policy_keys, randomness = drawn
        action, memory = jax.vmap(policy)(policy_keys, obs, memory)
        following = move(randomness, obs, action)
        return (following, memory), (following, action)

    start = (everyone(obs), jax.tree.map(everyone, policy.init()))
    drawn = (
        jax.random.split(policy_key, (horizon, particles)),
        jax.vmap(draw)(jax.random.split(move_key, horizon)),
    )
    unroll = 3 if jax.default_backend() == "gpu" else 1  # a turn of the loop costs what small kernels do
    _, (following, actions) = jax.lax.scan(step, start, drawn, unroll=unroll)
    trajectory = jnp.concatenate([start[0][None], following])
    return Rollout(actions=jnp.swapaxes(actions, 0, 1), obs=jnp.swapaxes(trajectory, 0, 1))
