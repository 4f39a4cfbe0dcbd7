"""The belief as an environment: trials begin where the system has been, and go on in one of its worlds."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.envs.base import AbstractEnv
from handful.fields import Real, real
from handful.models.base import AbstractDynamics
from handful.task import Task
from handful.types import Step


class Visited(eqx.Module):
    """Observations that the system was seen at, or that trials began with: those that are numbers."""

    obs: Float[Array, "capacity o"]  # the first `count` rows
    count: Int[Array, ""]

    @classmethod
    def of(cls, data: Dataset, *, first: bool = False) -> "Visited":
        usable = data.mask() & jnp.isfinite(data.transitions.obs).all(1)
        if first:
            usable &= data.trial != jnp.concatenate([jnp.full(1, -1), data.trial[:-1]])
        rows = data.transitions.obs[jnp.argsort(~usable, stable=True)]
        return cls(jnp.where(jnp.sort(~usable)[:, None], 0.0, rows), usable.sum())

    def draw(self, key: PRNGKeyArray) -> Float[Array, "o"]:
        """One of them, each equally likely; zeros where there are none."""
        return self.obs[jax.random.randint(key, (), 0, jnp.maximum(self.count, 1))]


class Imagining(eqx.Module):
    """Where an imagined trial stands, and in which world."""

    obs: Float[Array, "o"]
    world: Int[Array, ""]


class Imagined(AbstractEnv):
    """Trials in the worlds of a belief: each begins at a visited observation, and keeps to the world it drew.

    The share `anew` of them begins where a trial on the system began, the others anywhere that it has been.

    It ends by truncation after `task.horizon` steps, so a learner counts the value of where it ended. Where a
    prediction or its reward is not finite, the state holds still, the trial terminates and `lost` is paid: what the
    worst step ever met would come to over a whole trial on the system, and never more than nothing.

    Source: [Kurutach18] section 4; trials that branch off from visited states [Janner19] section 4. Deviates: no.
    """

    task: Task  # with the length of an imagined trial as its horizon
    worlds: AbstractDynamics  # on a leading axis
    visited: Visited
    begun: Visited
    lost: Float[Array, ""]
    count: int = eqx.field(static=True)  # of worlds
    anew: Real = real(0.0)

    @classmethod
    def of(
        cls,
        key: PRNGKeyArray,
        task: Task,
        model: AbstractDynamics,
        data: Dataset,
        *,
        length: int,
        worlds: int = 5,
        anew: Real | float = 0.0,
    ) -> "Imagined":
        """As long as `length`. An ensemble's members are its worlds; of a belief without end, so many are drawn."""
        count = worlds if model.world_count is None else model.world_count
        rewards = data.transitions.reward
        worst = jnp.min(jnp.where(data.mask() & jnp.isfinite(rewards), rewards, 0.0), initial=0.0)
        places = (Visited.of(data), Visited.of(data, first=True))
        within = dataclasses.replace(task, horizon=length)
        return cls(within, model.worlds(key, count), *places, task.horizon * worst, count, anew)

    def reset(self, key: PRNGKeyArray) -> tuple[Imagining, Float[Array, "o"]]:
        anew_key, obs_key, world_key = jax.random.split(key, 3)
        anew = jax.random.bernoulli(anew_key, self.anew)
        obs = jnp.where(anew, self.begun.draw(obs_key), self.visited.draw(obs_key))
        return Imagining(obs, jax.random.randint(world_key, (), 0, self.count)), obs

    def step(self, key: PRNGKeyArray, state: Imagining, action: Float[Array, "a"]) -> tuple[Imagining, Step]:
        action = jnp.clip(action, self.task.low, self.task.high)
        # All worlds step and one is kept: of many copies that is one matrix product, where gathered weights are none.
        each = eqx.filter_vmap(lambda world, index: world.sample(key, state.obs, action))
        predicted = each(self.worlds, jnp.arange(self.count))[state.world]
        reward = self.task.reward(state.obs, action, predicted)
        known = jnp.isfinite(predicted).all() & jnp.isfinite(reward)
        obs = jnp.where(known, predicted, state.obs)
        over = self.task.terminated(obs) | ~known
        return Imagining(obs, state.world), Step(obs, jnp.where(known, reward, self.lost), over)

    def world(self, index: Int[Array, ""]) -> "Imagined":
        """The same with one of its worlds alone."""
        alone = jax.tree.map(lambda leaf: leaf[index][None] if eqx.is_array(leaf) else leaf, self.worlds)
        return dataclasses.replace(self, worlds=alone, count=1)
