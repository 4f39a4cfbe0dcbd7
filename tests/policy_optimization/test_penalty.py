"""Rules for beta by hand, where they settle, and how they come back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.policy_optimization.penalty import MAX_BETA, MIN_BETA, Doubling, DualDescent, Fixed

RULES = {
    "dual": DualDescent(beta=0.6, target=0.02, learning_rate=0.4),
    "doubling": Doubling(beta=0.6, target=0.02),
    "fixed": Fixed(beta=0.6, target=0.02),
}
after = jax.jit(lambda rule, beta, kl: rule(beta, kl))


@pytest.mark.parametrize(
    ("name", "kl", "expected"),
    [
        ("dual", 0.03, 3.0 * np.exp(0.4 * 0.5)),
        ("dual", 0.005, 3.0 * np.exp(-0.4 * 0.75)),
        ("dual", 5.0, 3.0 * np.exp(2.0)),  # 249 times too far: no more than two at a time
        ("doubling", 0.031, 6.0),
        ("doubling", 0.029, 3.0),
        ("doubling", 0.0134, 3.0),
        ("doubling", 0.0132, 1.5),
        ("fixed", 0.5, 3.0),
    ],
)
def test_by_hand(name, kl, expected):
    np.testing.assert_allclose(after(RULES[name], jnp.asarray(3.0), jnp.asarray(kl)), expected, rtol=1e-5)


@pytest.mark.parametrize("name", list(RULES))
@pytest.mark.parametrize("kl", [np.nan, np.inf])
def test_a_divergence_that_is_not_finite_leaves_beta(name, kl):
    assert after(RULES[name], jnp.asarray(3.0), jnp.asarray(kl)) == 3.0


@pytest.mark.parametrize("name", ["dual", "doubling"])
def test_a_beta_that_runs_away_is_held_and_comes_back(name):
    """At either end it stops; then it needs no longer to come back than the way is long."""
    rule = RULES[name]
    run = jax.jit(lambda beta, kl: jax.lax.scan(lambda b, _: (rule(b, kl),) * 2, beta, None, length=60)[1])
    high = run(rule.beta, jnp.asarray(1.0))
    assert high[-1] == MAX_BETA
    low = run(high[-1], jnp.asarray(0.0))
    assert low[-1] == np.float32(MIN_BETA)
    assert (low < rule.beta).argmax() <= 24  # e^-0.4 or 1/2 at a time, from ten thousand
    assert (run(low[-1], jnp.asarray(1.0)) > rule.beta).argmax() <= 14  # e^2 or 2 at a time, from a ten-thousandth


@pytest.mark.parametrize(("name", "within"), [("dual", 1.001), ("doubling", 8 / 3)])
@pytest.mark.parametrize("pull", [0.02, 3.0])
def test_beta_settles_where_the_divergence_is_the_target(name, within, pull):
    """A policy that maximises `pull x - beta x^2 / 2`, whose divergence is `x^2 / 2`.

    Twice the beta is a quarter of the divergence, so doubling may step over its band from 2/3 to 3/2 of the target:
    from 2/3 up to 8/3, from 3/2 down to 3/8.
    """
    rule = RULES[name]

    def update(beta, _):
        kl = (pull / beta) ** 2 / 2
        return rule(beta, kl), (beta, kl)

    _, (betas, kls) = jax.jit(lambda: jax.lax.scan(update, rule.beta, None, length=80))()
    assert rule.target / within <= kls[-1] <= rule.target * within
    if name == "dual":
        np.testing.assert_allclose(betas[-1], pull / np.sqrt(2 * rule.target), rtol=1e-3)
