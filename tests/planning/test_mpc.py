"""Model predictive control: the warm start, the forecast, and what a refit and a reset do."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.envs.pendulum import Pendulum
from handful.errors import InputError
from handful.models.ensemble_learner import EnsembleLearner
from handful.planning.base import optimise
from handful.planning.cem import CEM
from handful.planning.mpc import MPC
from handful.planning.problem import Problem
from handful.propagation.trajectory_sampling import TSInf
from handful.training.rollout import advance, begin
from probes import counted, differ, reaching, same, shaken, signatures, task_of

KEY, OTHER = jax.random.split(jax.random.key(21))
OBS = jnp.array([0.3, 0.2])
PLANNER = CEM(6, candidates=30, elites=5, iterations=3)
ACT = eqx.filter_jit(lambda policy, key, obs, carry: policy(key, obs, carry))


def test_takes_the_first_action_of_the_plan_and_keeps_the_rest():
    """Where the second step learns nothing, its plan is the first one's moved on by a step."""
    policy = MPC(PLANNER, reaching())
    action, carry = ACT(policy, KEY, OBS, policy.init())
    first = np.asarray(carry.forecast.plan)
    same(action, first[0])
    search, _ = optimise(PLANNER, jax.random.split(KEY)[0], policy.problem, OBS, PLANNER.init(policy.problem))
    np.testing.assert_allclose(first, PLANNER.plan(search), rtol=1e-5, atol=1e-6)
    blind = MPC(PLANNER, reaching(edge=-9.0))  # no plan has a finite return
    action, carry = ACT(blind, OTHER, OBS, carry)
    same(action, first[1])
    np.testing.assert_array_equal(carry.forecast.plan[:-1], first[1:])
    np.testing.assert_allclose(carry.forecast.plan[-1], [0.25, -0.6], rtol=1e-6)  # the middle of the limits


def test_a_warm_start_helps():
    """Two steps with one iteration each do better at the second than one iteration from nothing; mean of 30 keys."""
    policy = MPC(CEM(6, candidates=12, elites=3, iterations=1), reaching())

    def second(key):
        first_key, second_key = jax.random.split(key)
        _, carry = policy(first_key, OBS, policy.init())
        warm = policy(second_key, OBS, carry)[1].forecast.planned_return
        return warm - policy(second_key, OBS, policy.init())[1].forecast.planned_return

    gain = np.asarray(jax.jit(jax.vmap(second))(jax.random.split(KEY, 30)))
    assert gain.mean() > 4 * gain.std() / np.sqrt(30)  # four standard errors


def test_nothing_survives_a_reset():
    env = Pendulum()
    problem = Problem(env.task, dataclasses.replace(zoo.known(), function=lambda obs, action: obs + action), TSInf(1))
    policy = MPC(PLANNER, problem)
    cursor = begin(KEY, env, policy)
    after, _ = eqx.filter_jit(advance)(KEY, env, policy, cursor, steps=3)
    assert differ(after.carry, cursor.carry)
    same(begin(KEY, env, policy), cursor)
    same(begin(OTHER, env, policy).carry, cursor.carry)
    same(policy.init().search, PLANNER.init(problem))


def test_the_forecast_is_the_return_of_the_plan():
    """Of known dynamics exactly, without uncertainty; of an ensemble, mean and std over its particles."""
    policy = MPC(PLANNER, reaching())
    _, carry = ACT(policy, KEY, OBS, policy.init())
    expected = policy.problem.evaluate(OTHER, OBS, carry.forecast.plan[None])[0]
    np.testing.assert_allclose(carry.forecast.planned_return, expected, rtol=1e-6)
    assert carry.forecast.planned_std == 0
    task = task_of(lambda obs, action, next_obs: next_obs[0] - action[0] ** 2, 2, [-1.0], [1.5])
    doubtful = MPC(PLANNER, Problem(task, signatures([1.0, 4.0, 16.0]), TSInf(3)))
    _, carry = ACT(doubtful, KEY, OBS, doubtful.init())
    plan = np.asarray(carry.forecast.plan)[:, 0]
    # Each step adds the member's constant and the action: after t steps t constants, and 1 + ... + 6 = 21 in all.
    returns = 6 * 0.3 + 21 * np.array([1.0, 4.0, 16.0]) + np.cumsum(plan).sum() - (plan**2).sum()
    np.testing.assert_allclose(carry.forecast.planned_return, returns.mean(), rtol=1e-5)
    np.testing.assert_allclose(carry.forecast.planned_std, returns.std(), rtol=1e-5)


def test_after_a_refit_nothing_compiles_and_the_action_changes():
    """Same key, observation and carry; the policy is made again around the new weights, as an agent does."""
    learner = EnsembleLearner(hidden=(7, 5), weight_decay=jnp.array([1e-4, 2e-4, 3e-4]), members=zoo.MEMBERS)
    state = learner.init(KEY, zoo.TASK)
    act, traces = counted(lambda policy, carry: policy(KEY, zoo.OBS, carry)[0])

    def action(state):
        policy = MPC(CEM(4, candidates=24, elites=5, iterations=3), zoo.problem(learner.model(state)))
        return np.asarray(act(policy, policy.init()))

    before = action(state)
    after = action(dataclasses.replace(state, members=shaken(state.members, 0.5)))
    assert traces.count == 1
    assert (np.abs(after - before) > 1e-3).any()
    same(action(state), before)


def test_a_horizon_longer_than_a_trial_is_refused():
    short = eqx.tree_at(
        lambda p: p.task, reaching(), task_of(lambda o, a, n: n[0], 2, [-1.0] * 2, [1.5] * 2, horizon=5)
    )
    with pytest.raises(InputError, match="at most the 5 steps of a trial, got 6"):
        MPC(PLANNER, short)
