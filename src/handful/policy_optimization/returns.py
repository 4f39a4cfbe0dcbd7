"""Rewards to go and advantages."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from handful.fields import Real, check_within, real


def rewards_to_go(
    rewards: Float[Array, "t"], over: Bool[Array, "t"], discount: Float[Array, ""] | float
) -> Float[Array, "t"]:
    """`G_t = r_t + discount G_{t+1}`, where `G_{t+1}` is 0 if the episode is over at step t."""

    def step(later: Float[Array, ""], now: tuple) -> tuple[Float[Array, ""], Float[Array, ""]]:
        reward, over = now
        total = reward + discount * jnp.where(over, 0.0, later)
        return total, total

    return jax.lax.scan(step, jnp.zeros((), rewards.dtype), (rewards, over), reverse=True)[1]


class GAE(eqx.Module):
    """Generalised advantage estimation of one environment's steps.

    `delta_t = r_t + discount (1 - terminated_t) V(next_obs_t) - V(obs_t)`, with the true next observation;
    `A_t = delta_t + discount gae_lambda A_{t+1}`, where the sum ends at a step that terminates or truncates, and at the
    last row.

    Source: [Schulman16] equation 16. Deviates: no.
    """

    discount: Real = real(0.99)
    gae_lambda: Real = real(0.95)

    def __check_init__(self) -> None:
        check_within(self, "discount", 0.0, 1.0)
        check_within(self, "gae_lambda", 0.0, 1.0)

    def __call__(
        self,
        rewards: Float[Array, "t"],
        values: Float[Array, "t"],  # of obs
        next_values: Float[Array, "t"],  # of next_obs
        terminated: Bool[Array, "t"],
        truncated: Bool[Array, "t"],
    ) -> Float[Array, "t"]:
        delta = rewards + self.discount * jnp.where(terminated, 0.0, next_values) - values
        return rewards_to_go(delta, terminated | truncated, self.discount * self.gae_lambda)
