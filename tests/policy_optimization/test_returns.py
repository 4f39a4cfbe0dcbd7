"""Rewards to go by hand; GAE against its definition as a double sum."""

import jax
import jax.numpy as jnp
import numpy as np

from handful.policy_optimization.returns import GAE, rewards_to_go

ROWS = 11
RNG = np.random.default_rng(4)
REWARDS, VALUES, NEXT_VALUES = RNG.normal(size=(3, ROWS))  # a next value is not the value of the next row
TERMINATED, TRUNCATED = np.zeros((2, ROWS), bool)
TERMINATED[3] = TRUNCATED[7] = True


def double_sum(discount, decay):
    delta = REWARDS + discount * np.where(TERMINATED, 0.0, NEXT_VALUES) - VALUES
    advantages = np.zeros(ROWS)
    for t in range(ROWS):
        for later in range(t, ROWS):
            advantages[t] += (discount * decay) ** (later - t) * delta[later]
            if TERMINATED[later] or TRUNCATED[later]:
                break
    return advantages


def test_rewards_to_go_by_hand():
    over = jnp.array([False, False, True, False, False])
    to_go = jax.jit(rewards_to_go)(jnp.array([1.0, 2.0, 3.0, 4.0, 5.0]), over, 0.5)
    np.testing.assert_allclose(to_go, [2.75, 3.5, 3.0, 6.5, 5.0], rtol=1e-6)


def test_gae_is_the_double_sum_with_both_flags_on_different_steps():
    compiled = jax.jit(lambda gae, *rows: gae(*rows))
    rows = [jnp.asarray(each, jnp.float32) for each in (REWARDS, VALUES, NEXT_VALUES)]
    for discount, decay in ((0.9, 0.7), (0.97, 1.0), (0.8, 0.0)):
        advantages = compiled(
            GAE(discount=discount, gae_lambda=decay), *rows, jnp.asarray(TERMINATED), jnp.asarray(TRUNCATED)
        )
        np.testing.assert_allclose(advantages, double_sum(discount, decay), rtol=1e-5, atol=1e-5)


def test_after_termination_nothing_counts_and_after_truncation_the_next_value_does():
    """Whatever the two next values are: the one is not looked at, and the other moves the advantage one for one."""
    flags = jnp.asarray(TERMINATED), jnp.asarray(TRUNCATED)
    rewards, values, next_values = (jnp.asarray(each, jnp.float32) for each in (REWARDS, VALUES, NEXT_VALUES))
    compiled = jax.jit(lambda next_values: GAE(discount=0.9, gae_lambda=0.7)(rewards, values, next_values, *flags))
    moved = compiled(next_values.at[3].add(10.0).at[7].add(1.0)) - compiled(next_values)
    np.testing.assert_allclose(moved[:4], 0.0, atol=1e-6)
    np.testing.assert_allclose(moved[4:8], 0.9 * 0.63 ** np.arange(3, -1, -1), rtol=1e-4)
    np.testing.assert_allclose(moved[8:], 0.0, atol=1e-6)
