"""Your own equations, with unknown parameters: `handful train examples/6_own_equations.py:Slider --model physics`.

A slider on a rail is driven to 0.5 m. Its mass and damping are guessed; fits find them, with their uncertainty, and the
report of the run shows them trial by trial.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful import ICEM, AbstractEnv, Acceleration, MPCAgent, Parameter, PhysicsLearner, Step, Task, TSInf, learn
from handful.fields import real
from handful.models.identified import identified

MASS, DAMPING = 1.7, 0.6  # [kg], [N s/m] that the simulation has and the model does not know


def acceleration(obs: Float[Array, "2"], action: Float[Array, "1"], p: dict[str, Array]) -> Float[Array, "1"]:
    """Newton's law for obs = (position, velocity)."""
    return (action - p["damping"] * obs[1:]) / p["mass"]


# Picked up by --model physics, since it stands beside the environment under this name.
physics = PhysicsLearner(
    Acceleration(acceleration),
    [Parameter("mass", guess=1.0, low=0.0, prior_std=0.5), Parameter("damping", guess=1.0, low=0.0, prior_std=0.5)],
)


def reward(obs: Float[Array, "2"], action: Float[Array, "1"], next_obs: Float[Array, "2"]) -> Float[Array, ""]:
    """Be at 0.5 m, with little effort."""
    return jnp.exp(-20 * (next_obs[0] - 0.5) ** 2) - 0.01 * action[0] ** 2


def task() -> Task:
    """A push of at most 2 N, twenty times a second, for four seconds."""
    low = jnp.array([-2.0])
    return Task(reward=reward, low=low, high=-low, names=("position [m]", "velocity [m/s]"), dt=0.05, horizon=80)


class Slider(AbstractEnv):
    """The same law with the true parameters, and a little noise on the velocity."""

    task: Task = eqx.field(default_factory=task)
    noise: Float[Array, ""] = real(0.003)  # [m/s]

    def reset(self, key: PRNGKeyArray) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        obs = jax.random.uniform(key, (2,), minval=-0.1, maxval=0.1)
        return obs, obs

    def step(self, key: PRNGKeyArray, state: Any, action: Float[Array, "1"]) -> tuple[Float[Array, "2"], Step]:
        push = jnp.clip(action, self.task.low, self.task.high)
        truth = {"mass": jnp.asarray(MASS), "damping": jnp.asarray(DAMPING)}
        obs = Acceleration(acceleration, substeps=10).step(state, push, truth, dt=self.task.dt)
        obs = obs.at[1].add(self.noise * jax.random.normal(key))
        return obs, Step(obs, self.task.reward(state, push, obs), self.task.terminated(obs))


def main(trials: int = 2) -> None:
    """Learn, and print the returns and what was found."""
    learned = learn(Slider(), MPCAgent(physics, ICEM(horizon=20, candidates=60), TSInf(5)), trials=trials)
    print("returns, the random trial first:", [round(each, 1) for each in learned.returns])
    print(identified(learned.model).table())


if __name__ == "__main__":
    main()
