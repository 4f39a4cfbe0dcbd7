"""A dynamics model made of statistics per grid cell and action."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.features import Features
from handful.data.grid import Grid
from handful.models.base import AbstractDynamics, copies
from handful.policies.discrete_actions import DiscreteActions
from handful.task import Task
from handful.types import Prediction, Transition


class CellDynamics(AbstractDynamics):
    """Mean and variance of the observation's change for each cell and discrete action.

    Both are shrunk towards those of all changes, by the weight of one transition per pair; a pair without data has the
    overall ones. Transitions that are not finite are left out. The model has a single world: it does not distinguish
    epistemic from aleatoric uncertainty, and reports all of it as aleatoric.
    """

    change: Float[Array, "s c o"]
    var: Float[Array, "s c o"]
    grid: Grid
    actions: DiscreteActions
    features: Features

    @classmethod
    def of(
        cls, task: Task, rows: Transition, mask: Bool[Array, "b"], grid: Grid, actions: DiscreteActions
    ) -> "CellDynamics":
        """From the transitions where `mask` holds; without any, a change of 0 with variance 1."""
        mask = mask & rows.finite
        features = Features.of(task)
        changes = jax.vmap(features.target)(rows.obs, rows.next_obs)
        changes = jnp.where(mask[:, None], changes, 0.0)
        pair = jax.vmap(grid.cell)(rows.obs) * actions.count + jax.vmap(actions.nearest)(rows.action)
        count = jnp.sum(mask)
        prior_mean = changes.sum(0) / jnp.maximum(count, 1)
        prior_var = jnp.sum(jnp.where(mask[:, None], (changes - prior_mean) ** 2, 0.0), 0) / jnp.maximum(count, 1)
        prior_var = jnp.where(count > 0, prior_var, 1.0)
        pairs, shape = grid.count * actions.count, (grid.count, actions.count, -1)
        total = lambda values: jax.ops.segment_sum(values, pair, pairs)
        times = total(mask.astype(float))[:, None] + 1
        mean = (total(changes) + prior_mean) / times
        squares = total(jnp.where(mask[:, None], (changes - mean[pair]) ** 2, 0.0))
        var = (squares + prior_var + (prior_mean - mean) ** 2) / times
        return cls(mean.reshape(shape), var.reshape(shape), grid, actions, features)

    @property
    def world_count(self) -> int:
        return 1

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        at = self.grid.cell(obs), self.actions.nearest(action)
        return Prediction(self.features.next_obs(obs, self.change[at]), self.var[at], jnp.zeros_like(obs))

    def worlds(self, key: PRNGKeyArray, count: int) -> "CellDynamics":
        return copies(self, count)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        prediction = self.predict(obs, action)
        return prediction.mean + jnp.sqrt(prediction.aleatoric) * jax.random.normal(key, obs.shape, obs.dtype)
