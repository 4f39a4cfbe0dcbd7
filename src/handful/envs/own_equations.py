"""An environment's own equations as models: exact, or with parameters that are to be fitted."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from handful.envs.base import AbstractEnv
from handful.models.known import KnownDynamics, KnownLearner
from handful.models.physics_parameters import Parameter

Named = Mapping[str, Float[Array, ""]]
WIDTH = 0.5  # prior std of the logarithm of each parameter


class Stepped(eqx.Module):
    """The step of a noise-free environment whose state is its observation, with some fields set by parameters."""

    env: AbstractEnv
    fields: Callable[[Named], dict[str, Any]]

    def __call__(self, obs: Float[Array, "o"], action: Float[Array, "a"], parameters: Named) -> Float[Array, "o"]:
        env = dataclasses.replace(self.env, **self.fields(parameters))
        return env.step(jax.random.key(0), obs, action)[0]  # nothing random is in it


def exact(env: AbstractEnv) -> KnownLearner:
    """The true dynamics of a noise-free environment whose state is its observation."""
    return KnownLearner(KnownDynamics(eqx.Partial(Stepped(env, dict), parameters={})))


def positive(**guesses: Float[Array, ""]) -> list[Parameter]:
    """A parameter above zero for each guess; underscores in names become spaces."""
    return [
        Parameter(name.replace("_", " "), float(guess), low=0.0, prior_std=WIDTH) for name, guess in guesses.items()
    ]
