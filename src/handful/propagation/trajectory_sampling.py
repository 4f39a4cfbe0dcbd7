"""Trajectory sampling: each particle is a rollout in one world."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from handful.errors import InputError
from handful.models.base import AbstractDynamics
from handful.propagation.base import AbstractParticles, check_particles


class TSInf(AbstractParticles):
    """Each particle stays in one world for the whole plan; there are equally many particles in each world.

    Source: [Chua18] section 5.1, TS-infinity. Deviates: no.
    """

    particles: int = eqx.field(static=True, default=20)

    @classmethod
    def check_members(cls, particles: int, members: int) -> None:
        per_member(particles, members)

    def start(self, key: PRNGKeyArray, model: AbstractDynamics) -> tuple[PRNGKeyArray, tuple[AbstractDynamics, int]]:
        world_key, roll_key = jax.random.split(key)
        count, each = balanced(model, self.particles)
        return roll_key, (model.worlds(world_key, count), each)

    def draw(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Key[Array, "p"]:
        return jax.random.split(key, self.particles)

    def move(
        self,
        drawn: Key[Array, "p"],
        started: tuple[AbstractDynamics, int],
        obs: Float[Array, "p o"],
        action: Float[Array, "p a"],
    ) -> Float[Array, "p o"]:
        worlds, each = started
        return sample_each(drawn, worlds, each, obs, action)


class TS1(AbstractParticles):
    """Each particle changes to a random world in every step; in every step there are equally many in each world.

    Source: [Chua18] section 5.1, TS1. Deviates: no.
    """

    particles: int = eqx.field(static=True, default=20)

    @classmethod
    def check_members(cls, particles: int, members: int) -> None:
        per_member(particles, members)

    def draw(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> tuple[PRNGKeyArray, Int[Array, "p"], Key[Array, "p"]]:
        world_key, order_key, noise_key = jax.random.split(key, 3)
        order = jax.random.permutation(order_key, self.particles)
        return world_key, order, jax.random.split(noise_key, self.particles)

    def move(
        self, drawn: tuple, started: AbstractDynamics, obs: Float[Array, "p o"], action: Float[Array, "p a"]
    ) -> Float[Array, "p o"]:
        world_key, order, keys = drawn
        count, each = balanced(started, self.particles)
        ordered = sample_each(keys, started.worlds(world_key, count), each, obs[order], action[order])
        return ordered[jnp.argsort(order)]


def balanced(model: AbstractDynamics, particles: int) -> tuple[int, int]:
    """The number of worlds to draw, and of particles in each. Raises `InputError` if they do not divide evenly."""
    worlds = particles if model.world_count is None else model.world_count
    return worlds, per_member(particles, worlds)


def per_member(particles: int, members: int) -> int:
    """The particles in each member of an ensemble. Raises `InputError` if they do not divide evenly."""
    check_particles(particles)
    if particles % members:
        raise InputError(
            f"particles must be a multiple of the {members} members of the model, so that each plan is evaluated "
            f"equally often in each; got {particles}"
        )
    return particles // members


def sample_each(
    keys: Key[Array, "p"], worlds: AbstractDynamics, each: int, obs: Float[Array, "p o"], action: Float[Array, "p a"]
) -> Float[Array, "p o"]:
    """One step of all particles: the first `each` in the first world, and so on.

    Raises `InputError` if `sample` of a world has not the shape of the observation.
    """

    def grouped(values: Array) -> Array:
        return values.reshape(-1, each, *values.shape[1:])

    def in_world(
        world: AbstractDynamics, keys: Array, obs: Float[Array, "q o"], action: Float[Array, "q a"]
    ) -> Float[Array, "q o"]:
        following = jax.vmap(world.sample)(keys, obs, action)
        if following.shape != obs.shape:
            raise InputError(
                f"{type(world).__name__}.sample must return the observation's shape {obs.shape[1:]}, "
                f"got {following.shape[1:]}"
            )
        return following

    following = eqx.filter_vmap(in_world)(worlds, grouped(keys), grouped(obs), grouped(action))
    return following.reshape(obs.shape)
