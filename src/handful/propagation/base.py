"""The propagator: how uncertainty travels through time."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.models.base import AbstractDynamics
from handful.policies.base import AbstractPolicy
from handful.types import Rollout


class AbstractPropagator(eqx.Module):
    """From one observation and one policy (an open-loop plan is one) to particles over the horizon.

    All randomness comes from `key` alone: under `vmap` over plans with one key, every plan meets the same worlds and
    the same noise.
    """

    @abstractmethod
    def __call__(
        self, key: PRNGKeyArray, model: AbstractDynamics, policy: AbstractPolicy, obs: Float[Array, "o"], horizon: int
    ) -> Rollout:
        """Roll `policy` forward for `horizon` steps. Raises `InputError` where particles do not divide by worlds."""


def balanced(model: AbstractDynamics, particles: int) -> tuple[int, int]:
    """How many worlds to draw, and how many particles live in each: equally many, for each candidate."""
    worlds = particles if model.world_count is None else model.world_count
    if particles < 1 or particles % worlds:
        raise InputError(
            f"particles must be a multiple of the {worlds} members of the model, so that each candidate meets each "
            f"member equally often; got {particles}"
        )
    return worlds, particles // worlds
