"""Behaviour cloning: the likelihood of what somebody did, whatever came of it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.policies.stochastic import StochasticPolicy
from handful.policy_optimization.steps import Adam
from handful.policy_optimization.surrogate import weighted_likelihood


def clone(
    key: PRNGKeyArray,
    policy: StochasticPolicy,
    obs: Float[Array, "b o"],
    actions: Float[Array, "b a"],
    *,
    adam: Adam | None = None,
    steps: int = 1000,
    size: int = 64,
) -> StochasticPolicy:
    """The policy under which the actions are likeliest, by minibatches: REINFORCE with every weight one.

    Raises `InputError` where there are not as many actions as observations, or they are not finite.

    Source: [Pomerleau89]. Deviates: no.
    """
    if obs.shape[0] != actions.shape[0] or not obs.shape[0]:
        raise InputError(
            f"there must be an action for each observation and at least one, got {obs.shape[0]} observations and "
            f"{actions.shape[0]} actions"
        )
    for name, values in (("observations", obs), ("actions", actions)):
        if not isinstance(values, Tracer) and not np.isfinite(values).all():
            row = int(np.isfinite(values).all(1).argmin())
            raise InputError(f"{name} must be finite, got {values[row]} in row {row}; leave such rows out")
    rule = Adam(rate=1e-3, longest=jnp.inf) if adam is None else adam
    choices = jax.vmap(policy.choice_of)(actions)

    def likelihood(head: Any, rows: Array) -> Float[Array, ""]:
        learning = eqx.tree_at(lambda p: p.head, policy, head)
        log_prob = jax.vmap(lambda o, c: learning.distribution(o).log_prob(c))(obs[rows], choices[rows])
        return weighted_likelihood(log_prob, jnp.ones(size), jnp.ones(size, bool))

    def step(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, None]:
        head, memory = carry
        rows = jax.random.randint(key, (size,), 0, obs.shape[0])
        return rule.ascend(head, memory, jax.grad(likelihood)(head, rows), 0.0), None

    (head, _), _ = jax.lax.scan(step, (policy.head, rule.init(policy.head)), jax.random.split(key, steps))
    return eqx.tree_at(lambda p: p.head, policy, head)
