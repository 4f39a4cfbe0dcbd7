"""Equations of motion with unknown parameters, as functions for the next observation."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from handful.errors import InputError
from handful.integrator import runge_kutta
from handful.models.physics_parameters import Parameters
from handful.task import Task

# function(obs, action, parameters), parameters by name. It may be an `equinox.Module` with known constants as arrays.
Function = Callable[[Float[Array, "o"], Float[Array, "a"], Mapping[str, Float[Array, ""]]], Float[Array, "_"]]


class AbstractLaw(eqx.Module):
    """The meaning of a user's function, and how the next observation follows from it."""

    function: eqx.AbstractVar[Function]

    @abstractmethod
    def size(self, obs_size: int) -> int:
        """Length of the vector that the function must return; raises `InputError` for observations that do not fit."""

    @abstractmethod
    def step(
        self, obs: Float[Array, "o"], action: Float[Array, "a"], parameters: Mapping[str, Float[Array, ""]], dt: float
    ) -> Float[Array, "o"]:
        """The observation after `dt` seconds of constant action."""


class Map(AbstractLaw):
    """The function returns the next observation itself."""

    function: Function

    def size(self, obs_size: int) -> int:
        return obs_size

    def step(
        self, obs: Float[Array, "o"], action: Float[Array, "a"], parameters: Mapping[str, Float[Array, ""]], dt: float
    ) -> Float[Array, "o"]:
        return self.function(obs, action, parameters)


class Derivative(AbstractLaw):
    """The function returns the time derivative of the observation; RK4 in `substeps` equal steps integrates it."""

    function: Function
    substeps: int = eqx.field(static=True, default=2)

    def __check_init__(self) -> None:
        _check_substeps(self.substeps)

    def size(self, obs_size: int) -> int:
        return obs_size

    def step(
        self, obs: Float[Array, "o"], action: Float[Array, "a"], parameters: Mapping[str, Float[Array, ""]], dt: float
    ) -> Float[Array, "o"]:
        return runge_kutta(lambda x: self.function(x, action, parameters), obs, dt, self.substeps)


class Acceleration(AbstractLaw):
    """The function returns accelerations of an observation [positions, velocities], both in the same order.

    >>> def swing(obs, action, parameters):
    ...     return (action - parameters["weight"] * jnp.sin(obs[:1])) / parameters["inertia"]
    >>> law = Acceleration(swing, substeps=4)
    >>> parameters = {"weight": jnp.asarray(9.0), "inertia": jnp.asarray(2.0)}
    >>> law.step(jnp.array([0.3, 0.0]), jnp.array([1.5]), parameters, dt=0.1).shape
    (2,)
    """

    function: Function
    substeps: int = eqx.field(static=True, default=2)

    def __check_init__(self) -> None:
        _check_substeps(self.substeps)

    def size(self, obs_size: int) -> int:
        if obs_size % 2:
            raise InputError(
                f"Acceleration needs as many positions as velocities in the observation, got {obs_size} entries; "
                "use Derivative or Map for others"
            )
        return obs_size // 2

    def step(
        self, obs: Float[Array, "o"], action: Float[Array, "a"], parameters: Mapping[str, Float[Array, ""]], dt: float
    ) -> Float[Array, "o"]:
        def derivative(x: Float[Array, "o"]) -> Float[Array, "o"]:
            return jnp.concatenate([x[x.shape[0] // 2 :], self.function(x, action, parameters)])

        return runge_kutta(derivative, obs, dt, self.substeps)


def check_law(law: AbstractLaw, parameters: Parameters, task: Task) -> None:
    """Raises `InputError` if the function does not fit the task: names, shape, finite values at the guess."""
    expected = (law.size(task.obs_size),)
    action = (task.low + task.high) / 2

    def at(obs: Float[Array, "o"]) -> Any:
        return law.function(obs, action, parameters.named(parameters.guess))

    try:
        shape = jnp.shape(jax.eval_shape(at, jnp.zeros(task.obs_size)))
    except KeyError as error:
        raise InputError(
            f"the physics function reads the parameter {error}, and the parameters are {parameters.names}"
        ) from error
    if shape != expected:
        raise InputError(
            f"the physics function of {type(law).__name__} must return the shape {expected} for an observation of "
            f"{task.obs_size} entries, got {shape}"
        )
    finite = jnp.isfinite(jax.vmap(at)(_probes(task.obs_size))).all(1)
    if not isinstance(finite, Tracer) and not finite.any():
        guesses = ", ".join(f"{n}={float(g):.4g}" for n, g in zip(parameters.names, parameters.guess, strict=True))
        raise InputError(f"the physics function must be finite at the guess ({guesses}), got values that are not")


def _probes(obs_size: int) -> Float[Array, "b o"]:
    """Observations of which at least one should be valid for the physics: the origin, and some off every axis."""
    sizes = jnp.asarray([0.0, 0.1, 1.0, -0.1, -1.0])
    return sizes[:, None] * (1 + jnp.arange(obs_size) / obs_size)


def _check_substeps(substeps: int) -> None:
    if substeps < 1:
        raise InputError(f"substeps must be at least 1, got {substeps}")
