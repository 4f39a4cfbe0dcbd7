"""Behaviour cloning: the likelihood of what somebody did, whatever came of it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

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

    Source: [Pomerleau89]. Deviates: no.
    """
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
