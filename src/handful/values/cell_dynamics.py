"""What a table of counts believes of the next observation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.features import Features
from handful.models.base import AbstractDynamics, copies
from handful.policies.choices import Choices
from handful.task import Task
from handful.types import Prediction, Transition
from handful.values.discretise import nearest
from handful.values.grid import Grid


class CellDynamics(AbstractDynamics):
    """The change of the observation as it was met in the cell with the choice: its mean and its variance.

    Both are drawn towards those of all changes, as if one such had been met in every cell; a pair that was never met
    has nothing else. The belief holds one world: it does not tell doubt from noise.
    """

    change: Float[Array, "s c o"]
    var: Float[Array, "s c o"]
    grid: Grid
    choices: Choices
    features: Features

    @classmethod
    def of(cls, task: Task, rows: Transition, mask: Bool[Array, "b"], grid: Grid, choices: Choices) -> "CellDynamics":
        """From the recorded transitions where `mask` holds; with none, nothing moves, with variance one."""
        features = Features.of(task)
        changes = jax.vmap(features.target)(rows.obs, rows.next_obs)
        changes = jnp.where(mask[:, None], changes, 0.0)
        pair = jax.vmap(grid.cell)(rows.obs) * choices.count
        pair = pair + jax.vmap(lambda action: nearest(choices, action))(rows.action)
        count = jnp.sum(mask)
        middle = changes.sum(0) / jnp.maximum(count, 1)
        spread = jnp.sum(jnp.where(mask[:, None], (changes - middle) ** 2, 0.0), 0) / jnp.maximum(count, 1)
        spread = jnp.where(count > 0, spread, 1.0)
        pairs, shape = grid.count * choices.count, (grid.count, choices.count, -1)
        total = lambda values: jax.ops.segment_sum(values, pair, pairs)  # noqa: E731
        times = total(mask.astype(float))[:, None] + 1
        mean = (total(changes) + middle) / times
        squares = total(jnp.where(mask[:, None], (changes - mean[pair]) ** 2, 0.0))
        var = (squares + spread + (middle - mean) ** 2) / times
        return cls(mean.reshape(shape), var.reshape(shape), grid, choices, features)

    @property
    def world_count(self) -> int:
        return 1

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        at = self.grid.cell(obs), nearest(self.choices, action)
        return Prediction(self.features.next_obs(obs, self.change[at]), self.var[at], jnp.zeros_like(obs))

    def worlds(self, key: PRNGKeyArray, count: int) -> "CellDynamics":
        return copies(self, count)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        told = self.predict(obs, action)
        return told.mean + jnp.sqrt(told.aleatoric) * jax.random.normal(key, obs.shape, obs.dtype)
