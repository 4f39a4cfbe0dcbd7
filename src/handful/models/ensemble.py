"""The probabilistic ensemble: several Gaussian nets that agree where there are data."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.models.base import AbstractDynamics, AbstractWorld
from handful.models.networks import GaussianNet
from handful.types import Prediction


class NetworkWorld(AbstractWorld):
    """One Gaussian net as a transition function with process noise."""

    net: GaussianNet  # or what `in_bfloat16` makes of it for plans
    input_scale: Standardiser
    target_scale: Standardiser
    features: Features

    def target(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> tuple[Float[Array, "o"], Float[Array, "o"]]:
        """Mean and std of the target, in the units of the observation."""
        mean, var = self.net(self.input_scale(self.features.inputs(obs, action)))
        return self.target_scale.inverse(mean), jnp.sqrt(var) * self.target_scale.std

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        mean, std = self.target(obs, action)
        return Prediction(self.features.next_obs(obs, mean), std**2, jnp.zeros_like(std))

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        mean, std = self.target(obs, action)  # the std is not squared and rooted again: planning spends its time here
        return self.features.next_obs(obs, mean + std * jax.random.normal(key, mean.shape))


class Ensemble(AbstractDynamics):
    """Gaussian nets stacked on a leading axis; the belief is their equal mixture.

    Aleatoric variance is the mean of the members' variances, epistemic the variance of the members' means.

    Source: [Chua18] section 4, [Lakshminarayanan17]. Deviates: targets are standardised too (the default learner).
    """

    members: NetworkWorld  # every leaf has a leading axis m

    @property
    def world_count(self) -> int:
        return self.members.input_scale.mean.shape[0]

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        each = eqx.filter_vmap(lambda member: member.predict(obs, action))(self.members)
        return Prediction(each.mean.mean(0), each.aleatoric.mean(0), each.mean.var(0))

    def worlds(self, key: PRNGKeyArray, count: int) -> NetworkWorld:
        if count == self.world_count:
            return self.members
        rounds = -(-count // self.world_count)
        last = jax.random.permutation(key, self.world_count)
        order = jnp.concatenate([jnp.tile(jnp.arange(self.world_count), rounds - 1), last])[:count]
        return jax.tree.map(lambda leaf: leaf[order], self.members)
