"""Baselines that reduce the variance of REINFORCE's gradient: none, the batch mean, a learned value."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.fields import check_hidden, check_within
from handful.optimiser import Adam
from handful.policies.mlp import MLP


class AbstractBaseline(eqx.Module):
    """An estimate of the reward to go from a step, which should not depend on the action taken in it.

    It gets the inputs of the policy's nets.
    """

    @abstractmethod
    def init(self, key: PRNGKeyArray, input_size: int) -> Any:
        """The state before any data."""

    @abstractmethod
    def values(
        self, state: Any, inputs: Float[Array, "b i"], returns: Float[Array, "b"], valid: Bool[Array, "b"]
    ) -> Float[Array, "b"]:
        """The estimate at each step. `returns` are the rewards to go."""

    @abstractmethod
    def fit(
        self,
        key: PRNGKeyArray,
        state: Any,
        inputs: Float[Array, "b i"],
        returns: Float[Array, "b"],
        valid: Bool[Array, "b"],
    ) -> Any:
        """The state after learning from these rewards to go."""


class AbstractUnlearned(AbstractBaseline):
    """A baseline without state."""

    def init(self, key: PRNGKeyArray, input_size: int) -> None:
        return None

    def fit(
        self,
        key: PRNGKeyArray,
        state: None,
        inputs: Float[Array, "b i"],
        returns: Float[Array, "b"],
        valid: Bool[Array, "b"],
    ) -> None:
        return None


class NoBaseline(AbstractUnlearned):
    """Zero."""

    def values(
        self, state: None, inputs: Float[Array, "b i"], returns: Float[Array, "b"], valid: Bool[Array, "b"]
    ) -> Float[Array, "b"]:
        return jnp.zeros_like(returns)


class BatchMean(AbstractUnlearned):
    """The mean reward to go of the batch, the same at every step.

    An episode's own rewards are part of the mean and depend on its actions, which biases the gradient: with N episodes
    of one step it is smaller by a factor 1 - 1 / N, and by more for later steps of longer episodes.
    """

    def values(
        self, state: None, inputs: Float[Array, "b i"], returns: Float[Array, "b"], valid: Bool[Array, "b"]
    ) -> Float[Array, "b"]:
        mean = jnp.sum(jnp.where(valid, returns, 0.0)) / jnp.maximum(valid.sum(), 1)
        return jnp.broadcast_to(mean, returns.shape)


class LearnedState(eqx.Module):
    """The net and the state of its optimiser."""

    net: MLP
    opt_state: Any


class LearnedValue(AbstractBaseline):
    """A net, fitted to the rewards to go of each batch after the batch was used."""

    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    adam: Adam = eqx.field(default_factory=lambda: Adam(learning_rate=1e-3, max_grad_norm=jnp.inf))
    gradient_steps: int = eqx.field(static=True, default=40)  # per batch
    batch_size: int = eqx.field(static=True, default=256)  # rows per gradient step, drawn with replacement

    def __check_init__(self) -> None:
        for name in ("gradient_steps", "batch_size"):
            check_within(self, name, 1.0)
        check_hidden(self)

    def init(self, key: PRNGKeyArray, input_size: int) -> LearnedState:
        net = MLP.init(key, (input_size, *self.hidden, 1))
        return LearnedState(net, self.adam.init(net))

    def values(
        self, state: LearnedState, inputs: Float[Array, "b i"], returns: Float[Array, "b"], valid: Bool[Array, "b"]
    ) -> Float[Array, "b"]:
        return jax.vmap(state.net)(inputs)[:, 0]

    def fit(
        self,
        key: PRNGKeyArray,
        state: LearnedState,
        inputs: Float[Array, "b i"],
        returns: Float[Array, "b"],
        valid: Bool[Array, "b"],
    ) -> LearnedState:
        count = jnp.cumsum(valid)

        def objective(net: Any, rows: Array) -> Float[Array, ""]:
            error = (jax.vmap(net)(inputs[rows])[:, 0] - returns[rows]) ** 2
            return -jnp.mean(jnp.where(valid[rows], error, 0.0))  # without valid rows, `rows` points at invalid ones

        def step(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, None]:
            net, opt_state = carry
            nth = jax.random.randint(key, (self.batch_size,), 0, jnp.maximum(count[-1], 1))  # of the valid rows
            rows = jnp.searchsorted(count, nth + 1)
            return self.adam.ascend(net, opt_state, jax.grad(objective)(net, rows)), None

        start = (state.net, state.opt_state)
        (net, opt_state), _ = jax.lax.scan(step, start, jax.random.split(key, self.gradient_steps))
        return LearnedState(net, opt_state)
