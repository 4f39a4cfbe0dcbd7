"""Reward scaling, so that one set of hyperparameters serves tasks with rewards of different size."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from handful.data.moments import Moments

_CLIP = 10.0
_MIN_VAR = 1e-8


class RewardScale(eqx.Module):
    """Divides rewards by the running std of the discounted return so far, and clips the result to [-10, 10].

    Source: [Engstrom20] section 3. Deviates: no.
    """

    return_: Float[Array, "n"]  # discounted, of the episode in progress
    moments: Moments  # of all such returns

    @classmethod
    def init(cls, num_envs: int) -> "RewardScale":
        return cls(jnp.zeros(num_envs), Moments.of(()))

    def __call__(self, rewards: Float[Array, "t n"]) -> Float[Array, "t n"]:
        return jnp.clip(rewards / self.unit, -_CLIP, _CLIP)

    @property
    def unit(self) -> Float[Array, ""]:
        """The reward that is scaled to 1."""
        return jnp.sqrt(jnp.maximum(self.moments.var, _MIN_VAR))

    def update(
        self, rewards: Float[Array, "t n"], over: Bool[Array, "t n"], discount: Float[Array, ""]
    ) -> "RewardScale":
        """With these rewards added to the statistics, if these stay finite.

        A reward that is not finite counts as 0 and ends its episode.
        """
        finite = jnp.isfinite(rewards)
        rewards, over = jnp.where(finite, rewards, 0.0), over | ~finite

        def step(return_: Float[Array, "n"], now: tuple) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
            reward, over = now
            total = discount * return_ + reward
            return jnp.where(over | ~jnp.isfinite(total), 0.0, total), total

        return_, returns = jax.lax.scan(step, self.return_, (rewards, over))
        moments = self.moments.update(returns.reshape(-1))
        usable = jnp.isfinite(moments.var)
        kept = jax.tree.map(lambda new, old: jnp.where(usable, new, old), moments, self.moments)
        return RewardScale(return_, kept)
