"""Propagators: particles that carry the uncertainty of a belief over a horizon."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.models.base import AbstractDynamics
from handful.policies.base import AbstractPolicy
from handful.types import Rollout


class AbstractPropagator(eqx.Module):
    """Simulates particles over a horizon, from an observation and a policy, such as an open-loop plan.

    All randomness comes from `key`: under `vmap` over plans with one key, every plan is evaluated in the same worlds
    and with the same noise.
    """

    @abstractmethod
    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        """Particles that start at `obs` and follow `policy` for `horizon` steps."""


class AbstractParticles(AbstractPropagator):
    """A propagator that moves `particles` copies of the observation step by step. Subclasses define `draw` and `move`.

    The randomness of all steps is drawn before the first: many small draws would cost more than the nets.
    """

    particles: eqx.AbstractVar[int]

    def __check_init__(self) -> None:
        check_particles(self.particles)

    @classmethod
    def for_members(cls, members: int, particles: int | None = None, *, default: int = 5) -> "AbstractParticles":
        """A propagator for an ensemble, with `particles` or else the least multiple of `members` from `default` on.

        Raises `InputError` if `particles` do not fit the members.
        """
        if particles is None:
            particles = -(-default // members) * members
        cls.check_members(particles, members)
        return cls(particles=particles)

    @classmethod
    def check_members(cls, particles: int, members: int) -> None:
        """Raises `InputError` if so many particles do not fit an ensemble with so many members."""
        check_particles(particles)

    def start(self, key: PRNGKeyArray, model: AbstractDynamics) -> tuple[PRNGKeyArray, Any]:
        """The key of the steps, and what `move` needs of the model: called once, before the first step."""
        return key, model

    @abstractmethod
    def draw(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Any:
        """The randomness of one step, for all particles; only the shape of `obs` is used."""

    @abstractmethod
    def move(
        self, drawn: Any, started: Any, obs: Float[Array, "p o"], action: Float[Array, "p a"]
    ) -> Float[Array, "p o"]:
        """All particles one step later, from what `draw` and `start` returned."""

    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        roll_key, started = self.start(key, model)
        policy_key, move_key = jax.random.split(roll_key)

        def repeated(value: Array) -> Array:
            return jnp.broadcast_to(value, (self.particles, *jnp.shape(value)))

        def step(carry: tuple, drawn: tuple) -> tuple[tuple, tuple]:
            obs, memory = carry
            policy_keys, randomness = drawn
            action, memory = jax.vmap(policy)(policy_keys, obs, memory)
            following = self.move(randomness, started, obs, action)
            return (following, memory), (following, action)

        first = (repeated(obs), jax.tree.map(repeated, policy.init()))
        drawn = (
            jax.random.split(policy_key, (horizon, self.particles)),
            jax.vmap(lambda key: self.draw(key, obs))(jax.random.split(move_key, horizon)),
        )
        unroll = 3 if jax.default_backend() == "gpu" else 1  # an iteration of the loop costs what small kernels do
        _, (following, actions) = jax.lax.scan(step, first, drawn, unroll=unroll)
        trajectory = jnp.concatenate([first[0][None], following])
        return Rollout(actions=jnp.swapaxes(actions, 0, 1), obs=jnp.swapaxes(trajectory, 0, 1))


def check_particles(particles: int) -> None:
    """Raises `InputError` without any particle."""
    if particles < 1:
        raise InputError(f"particles must be at least 1, got {particles}")
