"""Your own agent: `handful train point-mass --agent examples/5_own_agent.py:LinearReinforce --steps 100000`.

It says how it acts, and how it learns from what came of it. Its fields that are numbers are options; see --help.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful import PointMass, Task, learn
from handful.agent import AbstractAgent, Metrics
from handful.fields import real
from handful.policies.actor import AbstractActor
from handful.policy_optimization.returns import rewards_to_go
from handful.types import Batch


class LinearGaussian(AbstractActor):
    """Actions with a mean that is linear in the observation; 1 stands for half the range."""

    weights: Float[Array, "a i"]
    std: Float[Array, ""]
    low: Float[Array, "a"]
    high: Float[Array, "a"]

    def mean(self, obs: Float[Array, "o"]) -> Float[Array, "a"]:
        return self.weights @ jnp.append(obs, 1.0)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Float[Array, "a"]:
        return self.mean(obs) + self.std * jax.random.normal(key, self.low.shape)

    def to_env_action(self, raw_action: Float[Array, "a"]) -> Float[Array, "a"]:
        return (self.low + self.high) / 2 + jnp.clip(raw_action, -1, 1) * (self.high - self.low) / 2


class LinearReinforce(AbstractAgent):
    """The policy gradient of a linear policy, each step weighed by the discounted rewards after it."""

    num_envs: int = eqx.field(static=True, default=16)
    num_steps: int = eqx.field(static=True, default=50)
    learning_rate: Float[Array, ""] = real(0.01)
    discount: Float[Array, ""] = real(0.9)
    std: Float[Array, ""] = real(0.3)

    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        return jnp.zeros((task.action_size, task.obs_size + 1))

    def actor(self, task: Task, state: Any) -> LinearGaussian:
        return LinearGaussian(state, self.std, task.low, task.high)

    def policy(self, task: Task, state: Any) -> LinearGaussian:
        return LinearGaussian(state, jnp.zeros(()), task.low, task.high)

    def update(self, key: PRNGKeyArray, task: Task, state: Any, batch: Batch) -> tuple[Any, Metrics]:
        rows = batch.transitions  # leading axes: time, environment
        over = rows.terminated | rows.truncated
        returns = jax.vmap(rewards_to_go, in_axes=(1, 1, None), out_axes=1)(rows.reward, over, self.discount)
        advantage = jnp.where(batch.valid, (returns - returns.mean()) / (returns.std() + 1e-6), 0.0)

        def objective(weights: Array) -> Array:
            means = jax.vmap(jax.vmap(LinearGaussian(weights, self.std, task.low, task.high).mean))(rows.obs)
            return jnp.mean(-advantage * ((rows.action - means) ** 2).sum(-1) / (2 * self.std**2))

        gradient = jax.grad(objective)(state)
        norm = jnp.linalg.norm(gradient)
        return state + self.learning_rate * gradient / (norm + 1e-6), {"gradient": norm}


def main(steps: int = 100_000) -> None:
    """Learn the point mass with it, and print returns: before learning, and the means of every tenth round."""
    print([round(each, 1) for each in learn(PointMass(), LinearReinforce(), steps=steps).returns[::10]])


if __name__ == "__main__":
    main()
