"""The value of a plan: termination, discounts, risk, and values that are not finite."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from handful.models.known import KnownDynamics
from handful.planning.problem import Problem
from handful.policies.simple import OpenLoop
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import CVaR, Mean, MeanStd
from handful.propagation.trajectory_sampling import TSInf
from probes import linear_ensemble, signatures, task_of

KEY = jax.random.key(1)
DISCOUNT = 0.9
EVALUATE = eqx.filter_jit(lambda problem, obs, plans: problem.evaluate(KEY, obs, plans))


def counting(reward, terminated=None, discount=DISCOUNT):
    """obs counts steps: 1, 2, 3, …; the action is free to mean something to the reward."""
    settings = {} if terminated is None else {"terminated": terminated}
    task = task_of(reward, 1, [-1.0], [1.5], discount=discount, **settings)
    return Problem(task, KnownDynamics(lambda obs, action: obs + 1), TSInf(2))


def value_of(problem, *plans):
    plans = jnp.asarray(plans, jnp.float32)[:, :, None]
    return np.asarray(EVALUATE(problem, jnp.zeros(1), plans))


def outlived(value, lost):
    """What is left of a value where so many steps are not survived: a millionth of its size less for each."""
    return value - 1e-6 * lost * np.abs(value)


def test_rewards_are_discounted_and_see_obs_action_and_next_obs():
    problem = counting(lambda obs, action, next_obs: 100 * obs[0] + 10 * next_obs[0] + action[0])
    expected = sum(0.9**t * (100 * t + 10 * (t + 1) + a) for t, a in enumerate([0.3, -0.8, 1.2, 0.5]))
    np.testing.assert_allclose(value_of(problem, [0.3, -0.8, 1.2, 0.5]), [expected], rtol=1e-6)


def test_a_return_ends_with_the_step_that_terminates():
    """It counts, the next one does not, whatever the state then says of itself."""
    problem = counting(lambda obs, action, next_obs: next_obs[0], lambda obs: obs[0] == 3)
    np.testing.assert_allclose(value_of(problem, [0.1] * 6), [outlived(1 + 0.9 * 2 + 0.81 * 3, 4)], rtol=1e-6)
    at_once = counting(lambda obs, action, next_obs: next_obs[0] + 0.5, lambda obs: obs[0] == 1)
    np.testing.assert_allclose(value_of(at_once, [0.1] * 6), [outlived(1.5, 6)], rtol=1e-6)
    never = counting(lambda obs, action, next_obs: next_obs[0])
    np.testing.assert_allclose(value_of(never, [0.1] * 6), [sum(0.9**t * (t + 1) for t in range(6))], rtol=1e-6)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_not_finite_ranks_below_every_finite_one(poison):
    """Plus infinity too: nothing real pays that."""
    problem = counting(lambda obs, action, next_obs: jnp.where(action[0] > 1, poison, action[0] - 1e6))
    bad, worse_but_real, good = value_of(problem, [0.1, 1.2, 0.1], [-1.0, -1.0, -1.0], [0.9, 0.9, 0.9])
    assert bad == -np.inf
    assert bad < worse_but_real < good


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_comes_after_the_end_poisons_nothing(poison):
    """A model may leave the finite numbers once the trial is over."""
    reward = lambda obs, action, next_obs: jnp.where(next_obs[0] > 2, poison, next_obs[0])
    over = counting(reward, lambda obs: obs[0] == 2)
    np.testing.assert_allclose(value_of(over, [0.1] * 5), [outlived(1 + 0.9 * 2, 4)], rtol=1e-6)
    assert value_of(counting(reward), [0.1] * 5) == -np.inf
    moved = Problem(
        task_of(lambda obs, action, next_obs: action[0], 1, [-1.0], [1.5], terminated=lambda obs: obs[0] == 2),
        KnownDynamics(lambda obs, action: jnp.where(obs >= 2, poison, obs + 1)),
        TSInf(1),
    )
    np.testing.assert_allclose(value_of(moved, [0.1, 0.2, 0.4, 0.8]), [outlived(0.3, 3)], rtol=1e-6)


class Once(eqx.Module):
    """Pays for the first step alone, the more the greater its second action."""

    value: Array
    slope: Array

    def __call__(self, obs, action, next_obs):
        return jnp.where(obs[1] == 0, self.value + self.slope * action[1], 0.0)


class Counted(AbstractPropagator):
    """Says how often it is asked for a rollout."""

    asked: list = eqx.field(static=True)

    def __call__(self, key, model, policy, obs, horizon):
        self.asked.append(horizon)
        return TSInf(2)(key, model, policy, obs, horizon)


@pytest.fixture(scope="module")
def cliff():
    """The value of plans of six steps over a cliff at 2: entry 0 is moved by the first action, entry 1 counts steps."""
    task = task_of(Once(jnp.zeros(()), jnp.zeros(())), 2, [-1.0, 0.0], [3.0, 1.0], terminated=lambda obs: obs[0] > 2)
    model = KnownDynamics(lambda obs, action: obs + jnp.stack([action[0], 1.0]))
    asked = []

    def values(value, plans, slope=0.0):
        reward = Once(jnp.asarray(value, jnp.float32), jnp.asarray(slope, jnp.float32))
        problem = Problem(dataclasses.replace(task, reward=reward), model, Counted(asked))
        return np.asarray(EVALUATE(problem, jnp.zeros(2), jnp.asarray(plans, jnp.float32)))

    values.asked = asked
    return values


def falling(step, second=0.0):
    """A plan that falls at the end of a step, counted from 1; at 7 it is still standing after all six."""
    plan = np.zeros((6, 2))
    plan[0, 1] = second
    if step <= 6:
        plan[step - 1, 0] = 2.5
    return plan


@pytest.mark.parametrize("value", [0.0, 1e-20, 0.3, 7.3, 1234.5, -1e-20, -0.3, -1234.5])
def test_of_plans_that_return_the_same_the_one_that_survives_longer_ranks_first(cliff, value):
    """To fall at the last step is worse than not to fall. The value of all is their return, to 6 parts in a million."""
    order = [3, 7, 1, 5, 2, 6, 4]
    values = cliff(value, [falling(step) for step in order])
    assert [order[index] for index in np.argsort(-values)] == [7, 6, 5, 4, 3, 2, 1]
    assert len(set(values)) == 7
    assert values[order.index(7)] == np.float32(value)
    np.testing.assert_allclose(values, value, rtol=6.2e-6, atol=1e-35)


def test_survival_outweighs_no_real_difference(cliff):
    """Two hundred-thousandths more for the plan that falls at once."""
    for value in (5.0, -5.0):
        fallen, standing = cliff(value, [falling(1, second=1.0), falling(7)], slope=2e-5 * abs(value))
        assert fallen > standing


def test_ties_cost_no_rollout_and_are_no_part_of_a_return(cliff):
    del cliff.asked[:]
    cliff(7.3, [falling(2)] * 9)  # a new number of plans, so it is traced again
    assert cliff.asked == [6]
    problem = counting(lambda obs, action, next_obs: next_obs[0], lambda obs: obs[0] == 3, discount=1.0)
    np.testing.assert_array_equal(problem.particle_returns(KEY, jnp.zeros(1), jnp.full((5, 1), 0.1)), 6.0)


def test_an_observation_that_is_not_finite_spoils_a_plan_whose_rewards_are():
    task = task_of(lambda obs, action, next_obs: action[0], 1, [-1.0], [1.5])
    broken = KnownDynamics(lambda obs, action: jnp.where(action > 1, jnp.nan, obs + 1))
    bad, good = value_of(Problem(task, broken, TSInf(1)), [0.1, 0.2, 1.2], [0.1, 0.2, -1.0])
    assert bad == -np.inf
    np.testing.assert_allclose(good, -0.7, rtol=1e-6)


@pytest.mark.parametrize("risk", [Mean(), MeanStd(-0.5), MeanStd(0.5), CVaR(0.5)], ids=lambda risk: type(risk).__name__)
def test_one_particle_that_is_not_finite_spoils_its_plan(risk):
    """And no other: the member that adds 16 leaves the finite numbers, the others never do."""
    reward = lambda obs, action, next_obs: jnp.where(
        (next_obs[0] - obs[0] - action[0] == 16) & (action[0] > 1), jnp.nan, -next_obs[0] - 50
    )
    problem = Problem(task_of(reward, 2, [-1.0], [2.0]), signatures([1.0, 16.0, 4.0]), TSInf(3), risk)
    plans = jnp.array([[0.25, 1.5], [0.25, 0.5]])[:, :, None]
    bad, good = EVALUATE(problem, jnp.zeros(2), plans)
    assert bad == -np.inf
    assert np.isfinite(good)
    returns = problem.particle_returns(KEY, jnp.zeros(2), plans[0])
    np.testing.assert_array_equal(np.isfinite(returns), [True, False, True])


def test_risk_sees_returns_of_particles_not_steps():
    """Two members that are good in turns: single steps differ by 2, returns by nothing."""
    # Entry 0 changes sign each step; entry 1 is what it was, with the member's own sign.
    flips = np.array([[[-2.0, 0.0], [1.0, -1.0]], [[-2.0, 0.0], [-1.0, -1.0]]])
    model = linear_ensemble(flips, np.zeros((2, 2, 1)), np.zeros((2, 2)), np.full((2, 2), -40.0))
    task = task_of(lambda obs, action, next_obs: next_obs[1] + action[0], 2, [-1.0], [1.5])
    plan, obs = jnp.full((4, 1), 0.25), jnp.array([1.0, 0.0])
    for risk in (MeanStd(-3.0), CVaR(0.5), Mean()):
        problem = Problem(task, model, TSInf(2), risk)
        np.testing.assert_allclose(EVALUATE(problem, obs, plan[None]), [1.0], atol=1e-5)
    shown = problem.propagator(KEY, problem.model, OpenLoop(plan), obs, plan.shape[0]).obs[:, 1:, 1]
    np.testing.assert_allclose(shown, [[1, -1, 1, -1], [-1, 1, -1, 1]], atol=1e-5)


def test_a_tail_counts_what_the_last_observation_is_worth():
    """After four steps obs is 4; the discount of what follows is that of step 4. No part of a particle's return."""
    problem = dataclasses.replace(
        counting(lambda obs, action, next_obs: action[0]), terminal_value=lambda obs: 10.0 * obs[0]
    )
    expected = sum(0.9**t * a for t, a in enumerate([0.3, -0.8, 1.2, 0.5])) + 0.9**4 * 40
    np.testing.assert_allclose(value_of(problem, [0.3, -0.8, 1.2, 0.5]), [expected], rtol=1e-6)
    returns = problem.particle_returns(KEY, jnp.zeros(1), jnp.array([0.3, -0.8, 1.2, 0.5])[:, None])
    np.testing.assert_allclose(returns, expected - 0.9**4 * 40, rtol=1e-5)


def test_plans_judged_by_another_discount_than_the_tasks_return_by_the_tasks():
    problem = dataclasses.replace(
        counting(lambda obs, action, next_obs: action[0]), terminal_value=lambda obs: 10.0 * obs[0], discount=0.5
    )
    plan = [0.3, -0.8, 1.2, 0.5]
    np.testing.assert_allclose(value_of(problem, plan), [0.3 - 0.4 + 0.3 + 0.0625 + 0.5**4 * 40], rtol=1e-6)
    returns = problem.particle_returns(KEY, jnp.zeros(1), jnp.array(plan)[:, None])
    np.testing.assert_allclose(returns, sum(0.9**t * a for t, a in enumerate(plan)), rtol=1e-5)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_nothing_follows_the_end_and_a_tail_that_is_not_finite_ranks_last(poison):
    """Whatever the tail says of what comes after it: obs is 3 where the task ends."""
    reward = lambda obs, action, next_obs: next_obs[0]
    over = dataclasses.replace(
        counting(reward, lambda obs: obs[0] == 3), terminal_value=lambda obs: jnp.where(obs[0] == 6, poison, 5.0)
    )
    np.testing.assert_allclose(value_of(over, [0.1] * 6), [outlived(1 + 0.9 * 2 + 0.81 * 3, 4)], rtol=1e-6)
    going = dataclasses.replace(counting(reward), terminal_value=over.terminal_value)
    assert value_of(going, [0.1] * 6) == -np.inf
    np.testing.assert_allclose(value_of(going, [0.1] * 2), [1 + 0.9 * 2 + 0.81 * 5], rtol=1e-6)


@pytest.mark.parametrize("same", [True, False])
def test_plans_share_their_noise_or_have_each_their_own(same):
    """Two equal plans return the same only with the same noise; each is a rollout with its key."""
    task = task_of(lambda obs, action, next_obs: next_obs[0] - 0.3 * action[0], 1, [-1.0], [1.5])
    model = linear_ensemble(np.zeros((2, 1, 1)), np.ones((2, 1, 1)), [[0.2], [-0.5]], [[0.0], [0.7]])
    problem = Problem(task, model, TSInf(2), same_noise=same)
    plan = jnp.array([[0.4], [-0.7], [1.1]])
    values = np.asarray(EVALUATE(problem, jnp.zeros(1), jnp.stack([plan, plan, 0.5 * plan])))
    assert (values[0] == values[1]) == same
    keys = [KEY] * 3 if same else jax.random.split(KEY, 3)
    one = eqx.filter_jit(lambda key, plan: problem.policy_value(key, jnp.zeros(1), OpenLoop(plan), 3))
    expected = [one(key, each) for key, each in zip(keys, (plan, plan, 0.5 * plan), strict=True)]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
