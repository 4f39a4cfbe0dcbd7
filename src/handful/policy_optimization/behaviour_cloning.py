"""Behaviour cloning: maximum likelihood of demonstrated actions."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.optimiser import Adam
from handful.policies.stochastic import StochasticPolicy
from handful.policy_optimization.surrogate import weighted_likelihood


def clone(
    key: PRNGKeyArray,
    policy: StochasticPolicy,
    obs: Float[Array, "b o"],
    actions: Float[Array, "b a"],
    *,
    adam: Adam | None = None,
    gradient_steps: int = 1000,
    batch_size: int = 64,
) -> StochasticPolicy:
    """The policy after `gradient_steps` steps on the log-likelihood of `actions`, on random minibatches.

    `adam` defaults to a learning rate of 1e-3 without clipping.

    Raises `InputError` if there are not as many actions as observations, none at all, or any is not finite.

    Source: [Pomerleau89]. Deviates: no.
    """
    if obs.shape[0] != actions.shape[0] or not obs.shape[0]:
        raise InputError(
            f"there must be one action per observation and at least one, got {obs.shape[0]} observations and "
            f"{actions.shape[0]} actions"
        )
    for name, values in (("observations", obs), ("actions", actions)):
        if not isinstance(values, Tracer) and not np.isfinite(values).all():
            row = int(np.isfinite(values).all(1).argmin())
            raise InputError(f"{name} must be finite, got {values[row]} in row {row}; leave such rows out")
    adam = Adam(learning_rate=1e-3, max_grad_norm=jnp.inf) if adam is None else adam
    raw_actions = jax.vmap(policy.from_env_action)(actions)

    def likelihood(head: Any, rows: Array) -> Float[Array, ""]:
        learning = eqx.tree_at(lambda p: p.head, policy, head)
        log_prob = jax.vmap(lambda o, a: learning.distribution(o).log_prob(a))(obs[rows], raw_actions[rows])
        return weighted_likelihood(log_prob, jnp.ones(batch_size), jnp.ones(batch_size, bool))

    def step(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, None]:
        head, opt_state = carry
        rows = jax.random.randint(key, (batch_size,), 0, obs.shape[0])
        return adam.ascend(head, opt_state, jax.grad(likelihood)(head, rows)), None

    start = (policy.head, adam.init(policy.head))
    (head, _), _ = jax.lax.scan(step, start, jax.random.split(key, gradient_steps))
    return eqx.tree_at(lambda p: p.head, policy, head)
