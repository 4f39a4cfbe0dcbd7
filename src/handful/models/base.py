"""The belief: how the system moves, and how far that is known."""

from abc import abstractmethod
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.task import Task
from handful.types import Prediction

Belief = TypeVar("Belief", bound=eqx.Module)


class AbstractDynamics(eqx.Module):
    """A belief about how the system moves. Drawing from it gives a world, which is a belief without doubt.

    Methods take one sample; batches are `jax.vmap`. Weights and statistics are leaves, so a refit model enters a
    compiled function as a new argument and recompiles nothing.
    """

    @property
    @abstractmethod
    def world_count(self) -> int | None:
        """How many different worlds the belief holds: an ensemble's members; None where they are endless."""

    @abstractmethod
    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        """Mean and split variance of the next observation. Angles go on past a half turn: a belief never wraps them."""

    @abstractmethod
    def worlds(self, key: PRNGKeyArray, count: int) -> "AbstractDynamics":
        """`count` worlds stacked on a leading axis, stratified: no member is drawn twice before all are drawn once.

        An ensemble asked for as many as it has members hands them out in order, uncopied.
        """

    @abstractmethod
    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        """One step: in a world with process noise only, in a belief with all of its doubt."""


def copies(model: Belief, count: int) -> Belief:
    """`count` of the same on a leading axis: what a belief without doubt answers when asked for worlds."""
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)) if eqx.is_array(leaf) else leaf, model
    )


class FitReport(eqx.Module):
    """What a fit has to say of itself: for each member of an ensemble, each output of a GP, or for the whole."""

    loss: Float[Array, "m"]  # on the training data, at the end
    validation_nll: Float[Array, "m"]  # on held-out trials; NaN where it has none yet
    steps: Int[Array, ""]  # gradient steps taken
    diverged: Bool[Array, "m"]  # a non-finite loss was met and the last good weights were kept


class AbstractLearner(eqx.Module):
    """How a family of beliefs is fitted. The state carries weights and optimiser from fit to fit."""

    @abstractmethod
    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        """The state before any data."""

    @abstractmethod
    def fit(self, key: PRNGKeyArray, state: Any, data: Dataset) -> tuple[Any, FitReport]:
        """Learn from all data. Pure and compilable; never raises on bad data, never returns non-finite weights."""

    @abstractmethod
    def model(self, state: Any) -> AbstractDynamics:
        """The belief that a state stands for."""
