"""Adam with gradient clipping and a linearly decaying learning rate."""

import operator
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from handful.fields import Real, check_finite, check_within, real

Weights = TypeVar("Weights")


class Adam(eqx.Module):
    """Adam; the global gradient norm is clipped and the learning rate decays linearly to zero.

    A step whose gradient is not finite changes neither the weights nor the optimiser's state.

    >>> adam = Adam(learning_rate=0.1)
    >>> weights = jnp.array([1.0, -2.0])
    >>> weights, opt_state = adam.descend(weights, adam.init(weights), jnp.array([0.3, 0.0]))
    >>> round(float(weights[0]), 3), float(weights[1])
    (0.9, -2.0)

    Source: [Kingma15]. Deviates: no.
    """

    learning_rate: Real = real(3e-4)
    decay_updates: Real = real(jnp.inf)  # number of updates in which the learning rate decays to zero; inf: constant
    max_grad_norm: Real = real(0.5)  # inf: no clipping
    epsilon: Real = real(1e-5)

    def __check_init__(self) -> None:
        check_within(self, "learning_rate", 0.0)
        for name in ("decay_updates", "max_grad_norm", "epsilon"):
            check_within(self, name, 0.0, least_excluded=True)
        check_finite(self, "learning_rate", "epsilon")

    def init(self, weights: Any) -> Any:
        """The optimiser's state before the first step."""
        return self._adam().init(weights)

    def ascend(
        self, weights: Weights, opt_state: Any, gradient: Weights, update: Array | float = 0.0
    ) -> tuple[Weights, Any]:
        """The weights and state after one step along `gradient`; `update` counts the updates before this one."""
        return self._step(operator.add, weights, opt_state, gradient, update)

    def descend(
        self, weights: Weights, opt_state: Any, gradient: Weights, update: Array | float = 0.0
    ) -> tuple[Weights, Any]:
        """As `ascend`, against `gradient`."""
        return self._step(operator.sub, weights, opt_state, gradient, update)

    def _step(
        self, move: Callable, weights: Weights, opt_state: Any, gradient: Weights, update: Array | float
    ) -> tuple[Weights, Any]:
        norm = optax.tree.norm(gradient)
        scale = jnp.minimum(1.0, self.max_grad_norm / jnp.maximum(norm, 1e-12))
        direction, new_state = self._adam().update(jax.tree.map(lambda g: g * scale, gradient), opt_state)
        rate = self.learning_rate * linear_decay(update, self.decay_updates)
        new_weights = jax.tree.map(lambda w, d: move(w, rate * d), weights, direction)
        return jax.tree.map(
            lambda new, old: jnp.where(jnp.isfinite(norm), new, old), (new_weights, new_state), (weights, opt_state)
        )

    def _adam(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(eps=self.epsilon)


def linear_decay(update: Array | float, updates: Array | float) -> Array:
    """`1 - update / updates`, at least 0; always 1 if `updates` is infinite."""
    return jnp.maximum(1.0 - update / updates, 0.0)
