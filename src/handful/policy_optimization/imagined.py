"""A learned model as an environment: episodes start at visited observations and follow worlds of the model."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.fields import Real, check_within, real
from handful.models.base import AbstractDynamics
from handful.task import Task
from handful.types import Step


class Visited(eqx.Module):
    """Finite observations that were visited on the system, or those at which episodes started."""

    obs: Float[Array, "capacity o"]  # the first `count` rows
    count: Int[Array, ""]

    @classmethod
    def of(cls, data: Dataset, *, initial_only: bool = False) -> "Visited":
        usable = data.mask() & jnp.isfinite(data.transitions.obs).all(1)
        if initial_only:
            usable &= data.trial != jnp.concatenate([jnp.full(1, -1), data.trial[:-1]])
        rows = data.transitions.obs[jnp.argsort(~usable, stable=True)]
        return cls(jnp.where(jnp.sort(~usable)[:, None], 0.0, rows), usable.sum())

    def sample(self, key: PRNGKeyArray) -> Float[Array, "o"]:
        """One of them, drawn uniformly; zeros if there are none."""
        return self.obs[jax.random.randint(key, (), 0, jnp.maximum(self.count, 1))]


class ImaginedState(eqx.Module):
    """The current observation of an imagined episode, and the index of the world of its next step."""

    obs: Float[Array, "o"]
    world: Int[Array, ""]


class Imagined(AbstractEnv):
    """Episodes in the worlds of a learned model.

    Each draws one world at its start and keeps it, or, with `world_each_step`, one for every step.

    A fraction `initial_state_fraction` of the episodes starts where an episode on the system started, the others at any
    visited observation. After `task.horizon` steps an episode is truncated, so that agents bootstrap. If a prediction
    or its reward is not finite, the observation stays as it was, the episode terminates and the reward is
    `failure_reward`: the smallest reward in the data, if negative, times the horizon of the system's task.

    Source: [Kurutach18] section 4; branches from visited observations [Janner19] section 4. Deviates: both draw a world
    for every step, which is not the default here.
    """

    task: Task  # its horizon is the length of an imagined episode
    worlds: AbstractDynamics  # on a leading axis
    visited: Visited
    initial: Visited
    failure_reward: Float[Array, ""]
    world_count: int = eqx.field(static=True)
    initial_state_fraction: Real = real(0.0)
    world_each_step: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        check_within(self, "initial_state_fraction", 0.0, 1.0)

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
        initial_state_fraction: Real | float = 0.0,
        world_each_step: bool = False,
    ) -> "Imagined":
        """Episodes of `length` steps in the members of an ensemble, or in `worlds` worlds drawn from another model.

        Raises `InputError` if `length` or `worlds` is below 1.
        """
        if length < 1 or worlds < 1:
            raise InputError(f"length and worlds must be at least 1, got length={length} and worlds={worlds}")
        count = worlds if model.world_count is None else model.world_count
        rewards = data.transitions.reward
        smallest = jnp.min(jnp.where(data.mask() & jnp.isfinite(rewards), rewards, 0.0), initial=0.0)
        places = (Visited.of(data), Visited.of(data, initial_only=True))
        imagined_task = dataclasses.replace(task, horizon=length)
        return cls(
            imagined_task,
            model.worlds(key, count),
            *places,
            task.horizon * smallest,
            count,
            initial_state_fraction,
            world_each_step,
        )

    def reset(self, key: PRNGKeyArray) -> tuple[ImaginedState, Float[Array, "o"]]:
        choice_key, obs_key, world_key = jax.random.split(key, 3)
        initial = jax.random.bernoulli(choice_key, self.initial_state_fraction)
        obs = jnp.where(initial, self.initial.sample(obs_key), self.visited.sample(obs_key))
        return ImaginedState(obs, self._drawn(world_key)), obs

    def step(self, key: PRNGKeyArray, state: ImaginedState, action: Float[Array, "a"]) -> tuple[ImaginedState, Step]:
        world = state.world
        if self.world_each_step:
            key, world_key = jax.random.split(key)
            world = self._drawn(world_key)
        action = jnp.clip(action, self.task.low, self.task.high)
        # All worlds step and one result is kept: under vmap that is one matrix product, gathered weights would not be.
        each = eqx.filter_vmap(lambda world, index: world.sample(key, state.obs, action))
        predicted = each(self.worlds, jnp.arange(self.world_count))[state.world]
        reward = self.task.reward(state.obs, action, predicted)
        finite = jnp.isfinite(predicted).all() & jnp.isfinite(reward)
        obs = jnp.where(finite, predicted, state.obs)
        terminated = self.task.terminated(obs) | ~finite
        return ImaginedState(obs, world), Step(obs, jnp.where(finite, reward, self.failure_reward), terminated)

    def world(self, index: Int[Array, ""]) -> "Imagined":
        """The same environment with only one of its worlds."""
        alone = jax.tree.map(lambda leaf: leaf[index][None] if eqx.is_array(leaf) else leaf, self.worlds)
        return dataclasses.replace(self, worlds=alone, world_count=1)

    def _drawn(self, key: PRNGKeyArray) -> Int[Array, ""]:
        return jax.random.randint(key, (), 0, self.world_count)
