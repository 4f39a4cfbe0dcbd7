"""Rewards brought to a common size, so that one set of rates serves many tasks."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from handful.data.moments import Moments

_FAR = 10.0
_LEAST_VAR = 1e-8


class RewardScale(eqx.Module):
    """Divides rewards by the running std of the discounted return so far, and keeps them within ten of it.

    Source: [Engstrom20] section 3. Deviates: no.
    """

    return_: Float[Array, "n"]  # discounted, of the trial in progress
    moments: Moments  # of all such returns

    @classmethod
    def init(cls, envs: int) -> "RewardScale":
        return cls(jnp.zeros(envs), Moments.of(()))

    def __call__(self, rewards: Float[Array, "t n"]) -> Float[Array, "t n"]:
        return jnp.clip(rewards / self.unit, -_FAR, _FAR)

    @property
    def unit(self) -> Float[Array, ""]:
        """What a scaled reward of one stands for."""
        return jnp.sqrt(jnp.maximum(self.moments.var, _LEAST_VAR))

    def seeing(
        self, rewards: Float[Array, "t n"], over: Bool[Array, "t n"], discount: Float[Array, ""]
    ) -> "RewardScale":
        """With the statistics of these rewards too; one that is not finite counts as none, and ends its trial."""
        finite = jnp.isfinite(rewards)
        rewards, over = jnp.where(finite, rewards, 0.0), over | ~finite

        def step(return_: Float[Array, "n"], now: tuple) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
            reward, over = now
            total = discount * return_ + reward
            return jnp.where(over, 0.0, total), total

        return_, seen = jax.lax.scan(step, self.return_, (rewards, over))
        return RewardScale(return_, self.moments.seeing(seen.reshape(-1)))
