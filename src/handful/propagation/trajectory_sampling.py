"""Trajectory sampling: a particle is one rollout in one world."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.policies.base import AbstractPolicy
from handful.propagation.base import AbstractPropagator, balanced
from handful.propagation.particles import roll
from handful.types import Rollout


class TSInf(AbstractPropagator):
    """Each particle stays in one world for the whole plan; worlds are met equally often.

    Source: [Chua18] section 5.1, TS-infinity. Deviates: no.
    """

    particles: int = eqx.field(static=True, default=20)

    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        world_key, roll_key = jax.random.split(key)
        count, share = balanced(model, self.particles)
        worlds = model.worlds(world_key, count)

        def draw(key: PRNGKeyArray) -> Key[Array, "p"]:
            return jax.random.split(key, self.particles)

        def move(keys: Key[Array, "p"], obs: Float[Array, "p o"], action: Float[Array, "p a"]) -> Float[Array, "p o"]:
            return sample_each(keys, worlds, share, obs, action)

        return roll(roll_key, policy, obs, draw=draw, move=move, particles=self.particles, horizon=horizon)


class TS1(AbstractPropagator):
    """Each particle moves to a fresh world at every step; at every step worlds are met equally often.

    Source: [Chua18] section 5.1, TS1. Deviates: no.
    """

    particles: int = eqx.field(static=True, default=20)

    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        count, share = balanced(model, self.particles)

        def draw(key: PRNGKeyArray) -> tuple[PRNGKeyArray, Int[Array, "p"], Key[Array, "p"]]:
            world_key, seat_key, noise_key = jax.random.split(key, 3)
            seat = jax.random.permutation(seat_key, self.particles)  # particle seat[i] takes place i
            return world_key, seat, jax.random.split(noise_key, self.particles)

        def move(drawn: tuple, obs: Float[Array, "p o"], action: Float[Array, "p a"]) -> Float[Array, "p o"]:
            world_key, seat, keys = drawn
            seated = sample_each(keys, model.worlds(world_key, count), share, obs[seat], action[seat])
            return seated[jnp.argsort(seat)]

        return roll(key, policy, obs, draw=draw, move=move, particles=self.particles, horizon=horizon)


def sample_each(
    keys: Key[Array, "p"], worlds: AbstractDynamics, share: int, obs: Float[Array, "p o"], action: Float[Array, "p a"]
) -> Float[Array, "p o"]:
    """One step of all particles: the first `share` in the first world, and so on."""

    def grouped(values: Array) -> Array:
        return values.reshape(-1, share, *values.shape[1:])

    def in_world(
        world: AbstractDynamics, keys: Array, obs: Float[Array, "q o"], action: Float[Array, "q a"]
    ) -> Float[Array, "q o"]:
        return jax.vmap(world.sample)(keys, obs, action)

    following = eqx.filter_vmap(in_world)(worlds, grouped(keys), grouped(obs), grouped(action))
    return following.reshape(obs.shape)
