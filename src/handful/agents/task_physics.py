"""The physics of a task: what is known of its equations, and which of its numbers are not."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.envs.base import AbstractEnv
from handful.envs.cartpole import SUBSTEPS, CartPole, CartPoleSwingUp
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.pendulum import Pendulum
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.models.physics_laws import Derivative, Map
from handful.models.physics_learner import PhysicsLearner
from handful.models.physics_parameters import Parameter

Named = Mapping[str, Float[Array, ""]]
WIDTH = 0.5  # std of the logarithm of each parameter


class CartPoleForces(eqx.Module):
    """The cart-pole's own equations with other numbers. Gravity, motor and rail are known.

    So is the pole's shape: its inertia grows with its mass and the square of its length. With the motor's gain unknown
    too, nothing would tell masses, friction and gain from others in the same proportions.
    """

    mechanism: CartPole
    low: Float[Array, "1"]
    high: Float[Array, "1"]

    def __call__(self, obs: Float[Array, "4"], action: Float[Array, "1"], parameters: Named) -> Float[Array, "4"]:
        known, mass, distance = self.mechanism, parameters["pole mass"], parameters["pole com distance"]
        mechanism = dataclasses.replace(
            known,
            cart_mass=parameters["cart mass"],
            pole_mass=mass,
            com_distance=distance,
            inertia=known.inertia * mass / known.pole_mass * (distance / known.com_distance) ** 2,
            damping=jnp.stack([parameters["slider friction"], parameters["hinge friction"]]),
        )
        return mechanism.derivative(obs, known.gear * jnp.clip(action, self.low, self.high)[0])


class Stepped(eqx.Module):
    """An environment without noise whose state is its observation, with other numbers in place of some fields."""

    env: AbstractEnv
    fields: Callable[[Named], dict[str, Any]]

    def __call__(self, obs: Float[Array, "o"], action: Float[Array, "a"], parameters: Named) -> Float[Array, "o"]:
        env = dataclasses.replace(self.env, **self.fields(parameters))
        return env.step(jax.random.key(0), obs, action)[0]  # the key decides nothing


def physics_of(env: Any, *, wrong: float = 1.0) -> PhysicsLearner:
    """The learner for a task's physics: a built-in one, or `physics` in the module that defines the environment.

    `wrong` multiplies and divides the guesses in turn: 1.43 starts with every parameter 43 % too
    high or 30 % too low.

    >>> physics_of(CartPoleSwingUp(), wrong=1.3).parameters.names
    ('cart mass', 'pole mass', 'pole com distance', 'slider friction', 'hinge friction')

    Raises `InputError` where no physics is declared, or where the observation holds what physics does not tell.
    """
    hosted = isinstance(env, GymnasiumEnv)
    kind = type(env.env.unwrapped) if hosted else type(env)
    built_in = _BUILT_IN.get(kind)
    declared = env.physics if hosted else getattr(sys.modules[kind.__module__], "physics", None)
    learner = built_in(env) if built_in else declared
    if not isinstance(learner, PhysicsLearner):
        raise InputError(
            f"there is no physics for {kind.__name__}; write `physics = PhysicsLearner(Acceleration(function), "
            f"[Parameter(...), ...])` beside it, got {learner!r}"
        )
    if env.task.memoryless:
        missing = " and ".join(env.task.names[index] for index in env.task.memoryless)
        raise InputError(f"physics cannot foretell {missing}; write what is missing as a function beside it")
    return learner if wrong == 1.0 else dataclasses.replace(learner, parameters=learner.parameters.wrong(wrong))


def _positive(**guesses: Float[Array, ""]) -> list[Parameter]:
    return [
        Parameter(name.replace("_", " "), float(guess), low=0.0, prior_std=WIDTH) for name, guess in guesses.items()
    ]


def _cartpole(env: CartPoleSwingUp) -> PhysicsLearner:
    known = env.mechanism
    guesses = _positive(
        cart_mass=known.cart_mass,
        pole_mass=known.pole_mass,
        pole_com_distance=known.com_distance,
        slider_friction=known.damping[0],
        hinge_friction=known.damping[1],
    )
    return PhysicsLearner(Derivative(CartPoleForces(known, env.task.low, env.task.high), SUBSTEPS), guesses)


def _pendulum(env: Pendulum) -> PhysicsLearner:
    return PhysicsLearner(Map(Stepped(env, dict)), _positive(mass=env.mass, length=env.length))


def _point_mass(env: PointMass) -> PhysicsLearner:
    guesses = _positive(mass_x=env.mass[0], mass_y=env.mass[1], damping_x=env.damping[0], damping_y=env.damping[1])
    return PhysicsLearner(Map(Stepped(env, _along_axes)), guesses)


def _along_axes(parameters: Named) -> dict[str, Float[Array, "2"]]:
    return {what: jnp.stack([parameters[f"{what} {axis}"] for axis in "xy"]) for what in ("mass", "damping")}


_BUILT_IN: dict[type, Callable[[Any], PhysicsLearner]] = {
    CartPoleSwingUp: _cartpole,
    Pendulum: _pendulum,
    PointMass: _point_mass,
}
