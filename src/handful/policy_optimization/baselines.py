"""What a return is compared with, so that its gradient is less noisy: nothing, the mean, a learned value."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.policies.mlp import MLP
from handful.policy_optimization.steps import Adam


class AbstractBaseline(eqx.Module):
    """An expectation of what comes after a step, that should not depend on what is chosen in it.

    It sees of an observation what the policy's nets see.
    """

    @abstractmethod
    def init(self, key: PRNGKeyArray, inputs: int) -> Any:
        """Its state before any data, where the policy's nets see so many inputs."""

    @abstractmethod
    def values(
        self, state: Any, seen: Float[Array, "b i"], returns: Float[Array, "b"], counted: Bool[Array, "b"]
    ) -> Float[Array, "b"]:
        """The expectation at each step."""

    @abstractmethod
    def fitted(
        self,
        key: PRNGKeyArray,
        state: Any,
        seen: Float[Array, "b i"],
        returns: Float[Array, "b"],
        counted: Bool[Array, "b"],
    ) -> Any:
        """The state after these returns."""


class AbstractUnlearned(AbstractBaseline):
    """A baseline that remembers nothing."""

    def init(self, key: PRNGKeyArray, inputs: int) -> None:
        return None

    def fitted(
        self,
        key: PRNGKeyArray,
        state: None,
        seen: Float[Array, "b i"],
        returns: Float[Array, "b"],
        counted: Bool[Array, "b"],
    ) -> None:
        return None


class NoBaseline(AbstractUnlearned):
    """Zero."""

    def values(
        self, state: None, seen: Float[Array, "b i"], returns: Float[Array, "b"], counted: Bool[Array, "b"]
    ) -> Float[Array, "b"]:
        return jnp.zeros_like(returns)


class BatchMean(AbstractUnlearned):
    """The mean reward to go of the batch, the same at every step.

    A trial's own rewards are in the mean and depend on its choices, so gradients are biased by one part in the number
    of trials: each is smaller, and the later a step, the more.
    """

    def values(
        self, state: None, seen: Float[Array, "b i"], returns: Float[Array, "b"], counted: Bool[Array, "b"]
    ) -> Float[Array, "b"]:
        mean = jnp.sum(jnp.where(counted, returns, 0.0)) / jnp.maximum(counted.sum(), 1)
        return jnp.broadcast_to(mean, returns.shape)


class LearnedState(eqx.Module):
    """The net, and its optimiser's memory."""

    net: MLP
    memory: Any


class LearnedValue(AbstractBaseline):
    """A net, fitted to the rewards to go of each batch after that batch was used."""

    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    adam: Adam = eqx.field(default_factory=lambda: Adam(rate=1e-3, longest=jnp.inf))
    steps: int = eqx.field(static=True, default=40)  # gradients a batch
    size: int = eqx.field(static=True, default=256)  # rows a gradient, drawn with replacement

    def init(self, key: PRNGKeyArray, inputs: int) -> LearnedState:
        net = MLP.init(key, (inputs, *self.hidden, 1))
        return LearnedState(net, self.adam.init(net))

    def values(
        self, state: LearnedState, seen: Float[Array, "b i"], returns: Float[Array, "b"], counted: Bool[Array, "b"]
    ) -> Float[Array, "b"]:
        return jax.vmap(state.net)(seen)[:, 0]

    def fitted(
        self,
        key: PRNGKeyArray,
        state: LearnedState,
        seen: Float[Array, "b i"],
        returns: Float[Array, "b"],
        counted: Bool[Array, "b"],
    ) -> LearnedState:
        upto = jnp.cumsum(counted)

        def fitness(net: Any, rows: Array) -> Float[Array, ""]:
            error = (jax.vmap(net)(seen[rows])[:, 0] - returns[rows]) ** 2
            return -jnp.mean(jnp.where(counted[rows], error, 0.0))  # rows beyond the last, where nothing counts

        def step(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, None]:
            net, memory = carry
            nth = jax.random.randint(key, (self.size,), 0, jnp.maximum(upto[-1], 1))  # of those that count
            rows = jnp.searchsorted(upto, nth + 1)
            return self.adam.ascend(net, memory, jax.grad(fitness)(net, rows), 0.0), None

        start = (state.net, state.memory)
        (net, memory), _ = jax.lax.scan(step, start, jax.random.split(key, self.steps))
        return LearnedState(net, memory)
