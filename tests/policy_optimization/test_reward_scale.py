"""The scale of rewards against a loop in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from handful.policy_optimization.reward_scale import RewardScale

RNG = np.random.default_rng(9)
REWARDS = RNG.normal(3.0, 8.0, (7, 2))
OVER = RNG.random((7, 2)) < 0.3
DISCOUNT = 0.9
see = jax.jit(RewardScale.update)


def returns_so_far(rewards, over):
    running, seen = np.zeros(2), []
    for reward, ends in zip(rewards, over, strict=True):
        running = DISCOUNT * running + reward
        seen.append(running)
        running = np.where(ends, 0.0, running)
    return np.array(seen)


def seen_in_two(rewards):
    scale = RewardScale.init(2)
    for part in (slice(0, 3), slice(3, 7)):
        scale = see(scale, jnp.asarray(rewards[part], jnp.float32), jnp.asarray(OVER[part]), jnp.asarray(DISCOUNT))
    return scale


def test_rewards_are_divided_by_the_std_of_all_returns_so_far():
    scale, std = seen_in_two(REWARDS), returns_so_far(REWARDS, OVER).std()
    np.testing.assert_allclose(jnp.sqrt(scale.moments.var), std, rtol=1e-5)
    rewards = jnp.array([[4.0, -7.0], [1e4, -1e4]])
    np.testing.assert_allclose(scale(rewards), [[4.0 / std, -7.0 / std], [10.0, -10.0]], rtol=1e-5)


def test_rewards_whose_squares_overflow_leave_the_scale():
    before, bad = seen_in_two(REWARDS), REWARDS.copy()
    bad[2] = 3e38
    after = see(before, jnp.asarray(bad, jnp.float32), jnp.asarray(OVER), jnp.asarray(DISCOUNT))
    assert after.moments.var == before.moments.var
    assert np.isfinite(after.return_).all()


def test_a_reward_that_is_no_number_counts_as_none_and_ends_its_trial():
    bad, over = REWARDS.copy(), OVER.copy()
    bad[1, 0], bad[4, 1] = np.nan, np.inf
    over[1, 0] = over[4, 1] = True
    std = returns_so_far(np.where(np.isfinite(bad), bad, 0.0), over).std()
    np.testing.assert_allclose(jnp.sqrt(seen_in_two(bad).moments.var), std, rtol=1e-5)
