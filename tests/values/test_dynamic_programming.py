"""Dynamic programming against the exact solve, every policy tried, and a second implementation of toy-text tasks."""

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.values import dynamic_programming as dp
from handful.values.mdp import FiniteMDP
from handful.values.toy_text import from_toy_text
from probes import unchecked
from values.chains import best_of, random_mdp, swept, worth_of

POLICY = np.random.default_rng(5).dirichlet(np.ones(3), 4)
METHODS = {
    "value_iteration": dp.value_iteration,
    "q_value_iteration": dp.q_value_iteration,
    "policy_iteration": dp.policy_iteration,
    "q_policy_iteration": dp.q_policy_iteration,
}


def as_float(values):
    return jnp.asarray(values, jnp.float32)


def test_a_policy_evaluated_both_ways_by_numpy():
    mdp, going, reward = random_mdp(0.9)
    expected = worth_of(going, reward, POLICY, 0.9)
    exact = dp.evaluate_exactly(mdp, as_float(POLICY))
    np.testing.assert_allclose(exact.values, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(exact.q, reward + 0.9 * going @ expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dp.evaluate(mdp, as_float(POLICY), 1e-4).values, expected, atol=1e-4)


@pytest.mark.parametrize("tolerance", [3.0, 0.3, 0.01])
def test_sweeps_end_as_soon_as_the_bound_is_met_and_the_bound_holds(tolerance):
    mdp, going, reward = random_mdp(0.9)
    solved = dp.evaluate(mdp, as_float(POLICY), tolerance)
    values, sweeps, change = np.zeros(4), 0, np.inf
    while 9 * change > tolerance:
        moved = (POLICY * (reward + 0.9 * going @ values)).sum(1)
        values, change, sweeps = moved, np.abs(moved - values).max(), sweeps + 1
    assert int(solved.sweeps) == sweeps
    assert float(solved.bound) == pytest.approx(9 * change, rel=1e-3)
    error = np.abs(np.asarray(solved.values) - worth_of(going, reward, POLICY, 0.9)).max()
    assert error <= solved.bound <= tolerance


@pytest.mark.parametrize("name", list(METHODS))
def test_the_best_policy_of_all_81(name):
    mdp, going, reward = random_mdp(0.85)
    best, policy = best_of(going, reward, 0.85)
    solved = METHODS[name](mdp)
    np.testing.assert_allclose(solved.values, best, atol=1.5e-3)
    np.testing.assert_allclose(solved.q, reward + 0.85 * going @ best, atol=1.5e-3)
    assert tuple(solved.policy.tolist()) == policy
    assert float(solved.bound) <= 1.0001e-3
    assert 1 <= int(solved.sweeps) < 200


def test_policies_of_equal_worth_do_not_take_turns():
    """All four actions of both states are alike but for rounding."""
    transition = jnp.broadcast_to(jnp.array([0.3, 0.7]), (2, 4, 2))
    reward = 0.1 + 1e-8 * jnp.arange(8.0).reshape(2, 4)
    solved = dp.policy_iteration(FiniteMDP.dense(transition, reward, jnp.zeros((2, 4)), 0.99))
    assert int(solved.sweeps) <= 2
    np.testing.assert_allclose(solved.values, 10.0, rtol=1e-4)


@pytest.mark.parametrize("name", ["policy_iteration", "q_policy_iteration"])
@pytest.mark.parametrize("discount", [0.9, 0.999, 0.9999])
def test_a_small_gain_is_not_left_lying_and_the_bound_holds(name, discount):
    """One state that stays, where the second action pays a hundredth more: a thousand times that in the long run."""
    reward = jnp.array([[1.0, 1.009]])
    solved = METHODS[name](FiniteMDP.dense(jnp.ones((1, 2, 1)), reward, jnp.zeros((1, 2)), discount))
    best = 1.009 / (1 - discount)
    assert solved.policy.tolist() == [1]
    rounding = 1e-6 * best / (1 - discount)
    assert abs(float(solved.values[0]) - best) <= solved.bound + rounding
    if (name, discount) != ("q_policy_iteration", 0.9999):  # which would take more sweeps than there may be
        assert solved.bound <= 1e-3 + rounding


def test_policies_that_are_cut_short_tell_how_far_they_may_be_off(monkeypatch):
    mdp, going, reward = random_mdp(0.9)
    best, _ = best_of(going, reward, 0.9)
    monkeypatch.setattr(dp, "MAX_SWEEPS", 1)
    for method in (dp.policy_iteration, dp.q_policy_iteration):
        solved = method(mdp)
        assert 0.01 < np.abs(np.asarray(solved.values) - best).max() <= solved.bound


@pytest.mark.parametrize(("name", "discount"), [("FrozenLake-v1", 0.97), ("CliffWalking-v1", 1.0), ("Taxi-v4", 0.9)])
def test_toy_text_by_a_second_implementation(name, discount):
    env = gymnasium.make(name)
    solved = dp.value_iteration(from_toy_text(env, discount), 1e-4)
    np.testing.assert_allclose(solved.values, swept(env.unwrapped.P, discount), atol=5e-4)


def test_the_cliff_by_hand():
    """13 steps from the start, along the edge, for want of a discount."""
    solved = dp.value_iteration(from_toy_text(gymnasium.make("CliffWalking-v1")))
    assert float(solved.values[36]) == -13.0
    assert float(solved.bound) == 0.0


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (jnp.array([1, 0, 2, 0]), r"shape \(4,\); make one from indices by jax.nn.one_hot\(indices, 3\)"),
        (jnp.full((4, 3), 0.5), r"must sum to one in each state, got \[0.5 0.5 0.5\] in 0"),
        (jnp.full((4, 3), 1 / 3).at[2].set(jnp.array([1.5, -0.5, 0.0])), r"got \[ 1.5 -0.5  0. \] in 2"),
        (jnp.full((4, 3), 1 / 3).at[3, 1].set(jnp.nan), "nan"),
    ],
)
def test_what_is_no_policy_has_no_worth(policy, says):
    mdp, _, _ = random_mdp(0.8)
    for method in (dp.evaluate, dp.evaluate_exactly):
        with pytest.raises(InputError, match=says):
            unchecked(method)(mdp, policy)


def test_without_discount_a_trial_must_be_able_to_end():
    """State 0 may go on to state 1, which ends or stays; state 2 stays for ever."""
    transition = jnp.array([[[1.0, 0, 0], [0, 1.0, 0]], [[0, 1.0, 0], [0, 1.0, 0]], [[0, 0, 1.0], [0, 0, 1.0]]])
    ends = jnp.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    reward = jnp.array([[-1.0, -2.0], [-0.5, -3.0], [-1.0, -1.0]])
    with pytest.raises(InputError, match=r"no policy terminates from state 2 \(1 such states\)"):
        dp.value_iteration(FiniteMDP.dense(transition, reward, ends, 1.0))
    ends = ends.at[2, 0].set(0.5)
    mdp = FiniteMDP.dense(transition, reward, ends, 1.0)
    np.testing.assert_allclose(dp.value_iteration(mdp).values, [-5.0, -3.0, -2.0], atol=2e-3)
    np.testing.assert_allclose(dp.q_value_iteration(mdp).q[0], [-6.0, -5.0], atol=2e-3)
    stays = jnp.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    for method in (dp.evaluate, dp.evaluate_exactly):
        with pytest.raises(InputError, match=r"the policy may never terminate from state 0 \(2 such states\)"):
            method(mdp, stays)
    for method in (dp.policy_iteration, dp.q_policy_iteration):
        with pytest.raises(InputError, match="policy iteration needs a discount below 1"):
            method(mdp)
    leaves = jnp.array([[0.0, 1.0], [0.25, 0.75], [1.0, 0.0]])  # state 1: -3 - 0.5 / 3
    np.testing.assert_allclose(dp.evaluate_exactly(mdp, leaves).values, [-5 - 1 / 6, -3 - 1 / 6, -2.0], rtol=1e-5)
    np.testing.assert_allclose(dp.evaluate(mdp, leaves).values, [-5 - 1 / 6, -3 - 1 / 6, -2.0], atol=2e-3)
