"""Finitely many actions to choose from, for methods that keep a value for each."""

import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, real
from handful.policies.learner import AbstractActor
from handful.policies.simple import chosen
from handful.task import Task

MOST = 4096  # choices; a value for each is kept, and beyond this a grid has stopped being a sensible idea


class Choices(eqx.Module):
    """The actions a task offers, one row each; a choice is the one-hot vector of a row.

    Where actions are categories, the rows are the categories. Where they are continuous, the rows are a grid of
    `bins_per_dim` equally spaced values of each entry, limits included, the last entry varying fastest.

    >>> from handful import PointMass
    >>> choices = Choices.of(PointMass().task, bins_per_dim=3)
    >>> choices.count
    9
    >>> choices.action(jnp.eye(9)[1]).tolist()
    [-6.0, 0.0]
    """

    actions: Float[Array, "c a"]

    @classmethod
    def of(cls, task: Task, bins_per_dim: int | None) -> "Choices":
        """The choices of a task. `bins_per_dim` is not looked at where actions are categories.

        Raises `InputError` where actions are continuous and `bins_per_dim` does not make a grid of a sensible size.
        """
        if task.categorical:
            return cls(jnp.eye(task.action_size, dtype=task.low.dtype))
        if bins_per_dim is None or bins_per_dim < 2:
            raise InputError(
                "this task's actions are continuous and the method chooses among finitely many: "
                f"bins_per_dim must be at least 2, the number of values to try of each entry, got {bins_per_dim}"
            )
        if bins_per_dim**task.action_size > MOST:
            raise InputError(
                f"{bins_per_dim} values of each of {task.action_size} action entries make "
                f"{bins_per_dim**task.action_size} choices, at most {MOST} can be had; take fewer values, or a method "
                "with continuous actions, such as ppo"
            )
        grid = jnp.linspace(task.low, task.high, bins_per_dim)
        rows = jnp.array(list(itertools.product(range(bins_per_dim), repeat=task.action_size)), int)
        return cls(grid[rows, jnp.arange(task.action_size)])

    @property
    def count(self) -> int:
        return self.actions.shape[0]

    def action(self, choice: Float[Array, "*b c"]) -> Float[Array, "*b a"]:
        """The action that a one-hot choice stands for."""
        return self.actions[jnp.argmax(choice, -1)]


class EpsilonGreedy(AbstractActor):
    """The choice of greatest value; with probability `epsilon` any choice, all equally likely.

    A value that is not finite ranks below every finite one.
    """

    values: Callable[[Float[Array, "o"]], Float[Array, "c"]]  # of every choice
    choices: Choices
    epsilon: Real = real(0.0)

    def draw(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        whether_key, which_key = jax.random.split(key)
        values = self.values(obs)
        greedy = jnp.where(jnp.isfinite(values), values, -jnp.inf)
        any_ = jax.random.uniform(which_key, values.shape, values.dtype)
        return chosen(jnp.where(jax.random.uniform(whether_key) < self.epsilon, any_, greedy))

    def to_env_action(self, choice: Float[Array, "c"]) -> Float[Array, "a"]:
        return self.choices.action(choice)
