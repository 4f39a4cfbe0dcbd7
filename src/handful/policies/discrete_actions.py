"""Finite sets of actions, for methods that keep a value for each action."""

import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, check_within, real
from handful.policies.actor import AbstractActor
from handful.policies.simple import chosen
from handful.task import Task

MAX_ACTIONS = 4096  # a value is kept for each action; a grid larger than this is not practical


class DiscreteActions(eqx.Module):
    """A finite set of environment actions, one per row. The raw action is the one-hot vector of a row's index.

    If the task's actions are categories, the rows are the categories. If they are continuous, the rows are a grid of
    `bins_per_dim` equally spaced values per dimension, including the limits, with the last dimension varying fastest.

    >>> from handful import PointMass
    >>> actions = DiscreteActions.of(PointMass().task, bins_per_dim=3)
    >>> actions.count
    9
    >>> actions.to_env_action(jnp.eye(9)[1]).tolist()
    [-6.0, 0.0]
    """

    table: Float[Array, "c a"] | None  # None if the actions are categories: no matrix of all one-hot vectors is made
    categories: int = eqx.field(static=True, default=0)  # their number in this case

    @classmethod
    def of(cls, task: Task, bins_per_dim: int | None) -> "DiscreteActions":
        """The discrete actions of a task. `bins_per_dim` is ignored if the actions are categories.

        Raises `InputError` if the actions are continuous and `bins_per_dim` is missing, below 2 or makes too many.
        """
        if task.categorical:
            return cls(None, task.action_size)
        if bins_per_dim is None or bins_per_dim < 2:
            raise InputError(
                "the method needs a finite set of actions and the task's actions are continuous: bins_per_dim, the "
                f"number of values per action dimension, must be at least 2, got {bins_per_dim}"
            )
        count = bins_per_dim**task.action_size
        if count > MAX_ACTIONS:
            digits = f"{count} actions" if count < 10**12 else "10^12 actions or more"
            raise InputError(
                f"bins_per_dim={bins_per_dim} for {task.action_size} action dimensions makes {digits}, more than the "
                f"limit of {MAX_ACTIONS}; lower bins_per_dim, or use a method for continuous actions, such as ppo"
            )
        grid = jnp.linspace(task.low, task.high, bins_per_dim)
        rows = jnp.array(list(itertools.product(range(bins_per_dim), repeat=task.action_size)), int)
        return cls(grid[rows, jnp.arange(task.action_size)])

    @property
    def count(self) -> int:
        return self.categories if self.table is None else self.table.shape[0]

    def to_env_action(self, one_hot: Float[Array, "*b c"]) -> Float[Array, "*b a"]:
        """The environment action that a one-hot vector selects."""
        return chosen(one_hot) if self.table is None else self.table[jnp.argmax(one_hot, -1)]

    def at(self, index: Int[Array, ""]) -> Float[Array, "a"]:
        """The environment action of an index."""
        return jax.nn.one_hot(index, self.categories) if self.table is None else self.table[index]

    def nearest(self, action: Float[Array, "a"]) -> Int[Array, ""]:
        """The index of the row nearest to an environment action."""
        if self.table is None:
            return jnp.argmax(action)
        return jnp.argmin(jnp.sum((self.table - action) ** 2, axis=1))


class EpsilonGreedy(AbstractActor):
    """The action of greatest value; with probability `epsilon`, an action drawn uniformly.

    Values that are not finite rank below every finite one.
    """

    values: Callable[[Float[Array, "o"]], Float[Array, "c"]]  # Q(obs, .)
    actions: DiscreteActions
    epsilon: Real = real(0.0)

    def __check_init__(self) -> None:
        check_within(self, "epsilon", 0.0, 1.0)

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        explore_key, uniform_key = jax.random.split(key)
        values = self.values(obs)
        greedy = jnp.where(jnp.isfinite(values), values, -jnp.inf)
        uniform = jax.random.uniform(uniform_key, values.shape, values.dtype)
        return chosen(jnp.where(jax.random.uniform(explore_key) < self.epsilon, uniform, greedy))

    def to_env_action(self, raw_action: Float[Array, "c"]) -> Float[Array, "a"]:
        return self.actions.to_env_action(raw_action)
