"""A deterministic feedback policy made of radial basis functions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.data.features import Features
from handful.data.scaling import Standardiser
from handful.policies.base import AbstractPolicy
from handful.task import Task


class RadialPolicy(AbstractPolicy):
    """`u = sum_i w_i exp(-sum_j (x_j - c_ij)^2 / (2 l_j^2))` of the observation's features x, squashed to the limits.

    The squashing function `(9 sin u + sin 3u) / 8` has the range [-1, 1] and is almost linear in between.

    Source: [Deisenroth11] section 2.4. Deviates: centres are free parameters, not targets of a Gaussian process.
    """

    centres: Float[Array, "k i"]
    weights: Float[Array, "k a"]
    log_scales: Float[Array, "i"]  # logarithms of the length scales l
    low: Float[Array, "a"]
    high: Float[Array, "a"]
    features: Features

    @classmethod
    def covering(
        cls, key: PRNGKeyArray, task: Task, obs: Float[Array, "b o"], mask: Bool[Array, "b"], size: int
    ) -> "RadialPolicy":
        """Random centres with mean and std of the masked observations, length scales to match, small weights."""
        centre_key, weight_key = jax.random.split(key)
        features = _features(task)
        scale = Standardiser.fit(jax.vmap(lambda o: _inputs(features, o))(obs), mask)
        inputs = features.input_size
        return cls(
            centres=scale.inverse(jax.random.normal(centre_key, (size, inputs))),
            weights=0.1 * jax.random.normal(weight_key, (size, task.action_size)),
            log_scales=jnp.log(scale.std) + 0.5 * jnp.log(float(inputs)),
            low=task.low,
            high=task.high,
            features=features,
        )

    def init(self) -> None:
        return None

    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        z = (_inputs(self.features, obs) - self.centres) * jnp.exp(-self.log_scales)
        u = jnp.exp(-0.5 * jnp.sum(z**2, axis=1)) @ self.weights
        squashed = (9 * jnp.sin(u) + jnp.sin(3 * u)) / 8
        action = (self.low + self.high) / 2 + squashed * (self.high - self.low) / 2
        return jnp.clip(action, self.low, self.high), None  # rounding may exceed a limit slightly


def _features(task: Task) -> Features:
    return Features(task.obs_size, 0, task.angles, task.memoryless)


def _inputs(features: Features, obs: Float[Array, "o"]) -> Float[Array, "i"]:
    return features.inputs(obs, obs[:0])
