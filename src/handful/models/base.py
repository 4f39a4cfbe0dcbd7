"""The belief: a dynamics model that knows how uncertain it is. And the learner that fits it."""

from abc import abstractmethod
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.data.dataset import Dataset
from handful.errors import InputError
from handful.models.finite import all_finite, where
from handful.task import Task
from handful.types import Prediction

Belief = TypeVar("Belief", bound=eqx.Module)


class AbstractDynamics(eqx.Module):
    """A belief about the dynamics of a system. Only `predict` must be defined; the rest follows from it.

    A world is one transition function that is drawn from the belief: a belief without epistemic uncertainty.

    Methods take one sample; batches are `jax.vmap`. Weights and statistics are leaves, so a refit model enters a
    compiled function as a new argument and recompiles nothing.

    >>> class Sliding(AbstractDynamics):
    ...     def predict(self, obs, action):
    ...         return Prediction(obs + 0.1 * action, aleatoric=0.01 + 0 * obs, epistemic=0.04 * obs**2)
    >>> obs, action = jnp.array([1.0, -2.0]), jnp.array([0.5, 0.3])
    >>> worlds = Sliding().worlds(jax.random.key(0), 3)
    >>> eqx.filter_vmap(lambda world: world.predict(obs, action).mean)(worlds).shape
    (3, 2)
    """

    @property
    def world_count(self) -> int | None:
        """The number of different worlds, such as the members of an ensemble; None if they are unlimited."""
        return None

    @abstractmethod
    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        """Mean and variances of the next observation. Angles are not wrapped: they may exceed half a turn."""

    def worlds(self, key: PRNGKeyArray, count: int) -> "AbstractDynamics":
        """`count` worlds, stacked on a leading axis.

        By default each is the belief's mean, moved everywhere by the same number of epistemic stds, a standard normal
        one for each entry. A belief with finitely many worlds draws none twice before all are drawn once; asked for
        exactly as many as there are, it returns them in order, uncopied.
        """
        if self.world_count == 1:
            return copies(self, count)
        return eqx.filter_vmap(ShiftedWorld, in_axes=(None, 0))(self, jax.random.split(key, count))

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
        """One step: in a world with process noise alone, in a belief with epistemic uncertainty too."""
        if self.world_count == 1:
            prediction = predicted(self, obs, action)
            return gaussian(key, prediction.mean, prediction.aleatoric)
        world_key, noise_key = jax.random.split(key)
        return one_world(world_key, self).sample(noise_key, obs, action)


class AbstractWorld(AbstractDynamics):
    """A belief without epistemic uncertainty: one transition function, with Gaussian process noise by default."""

    @property
    def world_count(self) -> int:
        return 1


class ShiftedWorld(AbstractWorld):
    """The mean of `belief`, moved by `mean + root(epistemic) z`, with z drawn once from `key`."""

    belief: AbstractDynamics
    key: PRNGKeyArray

    def predict(self, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
        prediction = predicted(self.belief, obs, action)
        mean = gaussian(self.key, prediction.mean, prediction.epistemic)
        return Prediction(mean, prediction.aleatoric, jnp.zeros_like(mean))


def predicted(model: AbstractDynamics, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Prediction:
    """`model.predict(obs, action)`. Raises `InputError` if that has not the shape of the observation."""
    prediction = model.predict(obs, action)
    name = f"{type(model).__name__}.predict"
    if not isinstance(prediction, Prediction):
        returned = "an array" if isinstance(prediction, jax.Array) else type(prediction).__name__
        raise InputError(f"{name} must return a Prediction, got {returned}")
    for field in ("mean", "aleatoric", "epistemic"):
        shape = jnp.shape(getattr(prediction, field))
        if shape != obs.shape:
            raise InputError(f"{name} must return a {field} of the observation's shape {obs.shape}, got {shape}")
    return prediction


def gaussian(key: PRNGKeyArray, mean: Float[Array, "*s"], variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """A draw from independent normal distributions."""
    return mean + root(variance) * jax.random.normal(key, mean.shape, mean.dtype)


def root(variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """The std. Its derivative at zero, where the square root has none, is zero: plans are differentiated through it."""
    zero = variance == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, variance)))


def copies(model: Belief, count: int) -> Belief:
    """`count` copies of a module, stacked on a leading axis."""
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)) if eqx.is_array(leaf) else leaf, model
    )


def one_world(key: PRNGKeyArray, belief: AbstractDynamics) -> AbstractDynamics:
    """One world of a belief, which a world is itself."""
    if belief.world_count == 1:
        return belief
    return jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, belief.worlds(key, 1))


class FitReport(eqx.Module):
    """The outcome of a fit: for each member of an ensemble, each output of a GP, or for the whole."""

    loss: Float[Array, "m"]  # on the training data, at the end
    validation_nll: Float[Array, "m"]  # on held-out trials; NaN without any
    steps: Int[Array, ""]  # gradient steps taken
    diverged: Bool[Array, "m"]  # a loss or a weight was not finite, and the last finite weights were kept


class AbstractLearner(eqx.Module):
    """Fits a family of beliefs. The state keeps weights and optimiser from fit to fit.

    A subclass defines `init`, `update` and `model`; callers use `fit`.
    """

    @abstractmethod
    def init(self, key: PRNGKeyArray, task: Task) -> Any:
        """The state before any data."""

    @abstractmethod
    def update(self, key: PRNGKeyArray, state: Any, data: Dataset) -> tuple[Any, FitReport]:
        """The state after learning from all data, and a report. Pure and compilable; never raises on bad data.

        The state may be non-finite: then `fit` keeps the one before.
        """

    @abstractmethod
    def model(self, state: Any) -> AbstractDynamics:
        """The belief of a state."""

    def fit(self, key: PRNGKeyArray, state: Any, data: Dataset) -> tuple[Any, FitReport]:
        """As `update`; if the new state is not finite, the state stays as it was and the report says `diverged`.

        Raises `InputError` if the new state has not the structure and the shapes of the old one.
        """
        new, report = self.update(key, state, data)
        shapes = [[jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (new, state)]
        if jax.tree.structure(new) != jax.tree.structure(state) or shapes[0] != shapes[1]:
            raise InputError(
                f"{type(self).__name__}.update must return a state with the structure and shapes of the one it was "
                f"given, {shapes[1]}, got {shapes[0]}"
            )
        finite = all_finite(new)
        report = eqx.tree_at(lambda report: report.diverged, report, report.diverged | ~finite)
        return where(finite, new, state), report
