"""Rewards and terminations of Gymnasium's own tasks as functions for planners.

A runner's forward velocity is the mean over the step, which the observation does not hold: it is read from the last
entry, where the adapter puts the value from the step's info.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from handful.fields import Real, real


class Outside(eqx.Module):
    """Returns true if an entry is not inside its open interval; entries after the intervals' may have any value."""

    low: Float[Array, "k"]
    high: Float[Array, "k"]

    def __call__(self, obs: Float[Array, "o"]) -> Bool[Array, ""]:
        obs = obs[: self.low.shape[0]]
        return ~((self.low < obs) & (obs < self.high)).all()


class AbstractKnownReward(eqx.Module):
    """The environment's own reward as a function; its type distinguishes it from a reward that a user gives."""

    @abstractmethod
    def __call__(
        self, obs: Float[Array, "o"], action: Float[Array, "a"], next_obs: Float[Array, "o"]
    ) -> Float[Array, ""]: ...


class Upright(AbstractKnownReward):
    """`running` for each step that continues the trial, `ending` for the one that ends it."""

    fallen: Outside
    running: Real = real(1.0)
    ending: Real = real(0.0)

    def __call__(
        self, obs: Float[Array, "o"], action: Float[Array, "a"], next_obs: Float[Array, "o"]
    ) -> Float[Array, ""]:
        return jnp.where(self.fallen(next_obs), self.ending, self.running)


class Run(AbstractKnownReward):
    """`forward * velocity - effort |action|^2`, and `healthy` for each step that ends in a healthy pose."""

    forward: Real = real()
    effort: Real = real()
    healthy: Real = real(0.0)
    unhealthy: Outside | None = None

    def __call__(
        self, obs: Float[Array, "o"], action: Float[Array, "a"], next_obs: Float[Array, "o"]
    ) -> Float[Array, ""]:
        pose = 0.0 if self.unhealthy is None else jnp.where(self.unhealthy(next_obs), 0.0, self.healthy)
        return self.forward * next_obs[-1] + pose - self.effort * action @ action


class Reach(AbstractKnownReward):
    """`-distance |tip - target| - effort |action|^2`; the last two entries are tip minus target."""

    distance: Real = real()
    effort: Real = real()

    def __call__(
        self, obs: Float[Array, "10"], action: Float[Array, "2"], next_obs: Float[Array, "10"]
    ) -> Float[Array, ""]:
        return -self.distance * jnp.linalg.norm(next_obs[8:]) - self.effort * action @ action


class Push(AbstractKnownReward):
    """`-near |object - tip| - distance |object - goal| - effort |action|^2`."""

    near: Real = real()
    distance: Real = real()
    effort: Real = real()

    def __call__(
        self, obs: Float[Array, "23"], action: Float[Array, "7"], next_obs: Float[Array, "23"]
    ) -> Float[Array, ""]:
        tip, pushed, goal = next_obs[14:17], next_obs[17:20], next_obs[20:23]
        apart, missing = jnp.linalg.norm(pushed - tip), jnp.linalg.norm(pushed - goal)
        return -self.near * apart - self.distance * missing - self.effort * action @ action


class Hang(AbstractKnownReward):
    """`-(angle^2 + 0.1 speed^2 + 0.001 action^2)` of the state before the step; at angle zero the rod stands."""

    def __call__(
        self, obs: Float[Array, "3"], action: Float[Array, "1"], next_obs: Float[Array, "3"]
    ) -> Float[Array, ""]:
        angle = jnp.arctan2(obs[1], obs[0])
        return -(angle**2 + 0.1 * obs[2] ** 2 + 0.001 * action[0] ** 2)
