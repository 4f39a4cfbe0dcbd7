"""Setpoints as leaves of a reward: one compiled controller for any goal. `python examples/7_setpoints.py`.

A reward that is an `equinox.Module` may hold its goal as an array. A new goal is a new argument, so nothing compiles
again, and a model that was learned for one goal serves for all.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful import ICEM, LinearLearner, MPCAgent, PointMass, Task, TSInf, learn


class Reach(eqx.Module):
    """Pays for being near a place, at rest, with little effort."""

    goal: Float[Array, "2"]  # [m]

    def __call__(
        self, obs: Float[Array, "4"], action: Float[Array, "2"], next_obs: Float[Array, "4"]
    ) -> Float[Array, ""]:
        apart = next_obs[:2] - self.goal
        return -(apart @ apart) - 0.1 * next_obs[2:] @ next_obs[2:] - 0.001 * action @ action


def at(goal: tuple[float, float]) -> PointMass:
    """The point mass with another goal."""
    env = PointMass()
    return dataclasses.replace(env, task=dataclasses.replace(env.task, reward=Reach(jnp.array(goal))))


@eqx.filter_jit
def reached(agent: MPCAgent, task: Task, model: eqx.Module, env: PointMass) -> Float[Array, "2"]:
    """Where 40 steps lead that are planned for the task's goal."""
    policy = eqx.tree_at(lambda p: p.problem.model, agent.policy(task, agent.init(jax.random.key(0), task)), model)
    obs = jnp.array([0.6, -0.4, 0.0, 0.0])

    def step(carry: tuple, key: Array) -> tuple[tuple, None]:
        obs, memory = carry
        action, memory = policy(key, obs, memory)
        return (env.step(key, obs, action)[1].obs, memory), None

    return jax.lax.scan(step, (obs, policy.init()), jax.random.split(jax.random.key(1), 40))[0][0][:2]


def main(trials: int = 2) -> None:
    """Learn to reach one place, then go to three others with the same model and the same program."""
    agent = MPCAgent(LinearLearner(), ICEM(horizon=15, candidates=60), TSInf(5))
    learned = learn(at((0.0, 0.0)), agent, trials=trials)
    for goal in [(0.5, 0.5), (-1.0, 0.2), (0.3, -0.8)]:
        env = at(goal)
        place = reached(agent, env.task, learned.model, env)
        print(f"goal {goal}: reached ({place[0]:.2f}, {place[1]:.2f})")


if __name__ == "__main__":
    main()
