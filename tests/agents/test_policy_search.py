"""A policy improved by gradient inside a belief."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.agents.pets import pets_learner
from handful.agents.policy_search import Ascent, PolicySearchAgent, _starts
from handful.data.dataset import Dataset
from handful.envs.point_mass import PointMass
from handful.learning import learn
from handful.models.known import KnownDynamics
from handful.planning.problem import Problem
from handful.policies.radial import RadialPolicy
from handful.propagation.trajectory_sampling import TSInf
from handful.types import Transition
from probes import counted, same, task_of

# One step of x' = x + u, paid -(x - 0.7)^2: the best action from x is 0.7 - x where the limits allow it.
TASK = task_of(lambda obs, action, next_obs: -jnp.sum((next_obs - 0.7) ** 2), 1, [-1.0], [1.4])
KEY = jax.random.key(8)


def recorded(trials=((0.1, 0.4, 0.2), (-0.3, 0.5)), capacity=7):
    data = Dataset.empty(TASK, capacity)
    for trial, rows in enumerate(trials):
        obs = jnp.array(rows)[:, None]
        no = jnp.zeros(len(rows), bool)
        data = data.add(Transition(obs, 0 * obs, obs[:, 0], obs, no, no), trial)
    return data


def test_starts_are_first_rows_of_trials_each_about_as_often():
    """4000 draws of two starts: five standard errors."""
    starts = np.asarray(_starts(KEY, recorded(), 4000))[:, 0]
    np.testing.assert_allclose(np.unique(starts), [-0.3, 0.1], rtol=1e-6)
    assert abs((starts < 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)


def ascended(reward=TASK.reward, **settings):
    task = dataclasses.replace(TASK, reward=reward)
    policy = RadialPolicy.covering(KEY, task, recorded().transitions.obs, recorded().mask(), 6)
    problem = Problem(task, KnownDynamics(lambda obs, action: obs + action), TSInf(1))
    ascent = Ascent(horizon=1, starts=8, **settings)
    return policy, jax.jit(lambda key: ascent(key, problem, policy, recorded()))(KEY)


def test_it_imagines_no_further_than_a_trial_lasts():
    """A horizon longer than that comes to the same policy as one that ends there."""
    task = dataclasses.replace(TASK, horizon=1)
    policy = RadialPolicy.covering(KEY, task, recorded().transitions.obs, recorded().mask(), 6)
    problem = Problem(task, KnownDynamics(lambda obs, action: obs + action), TSInf(1))
    search = jax.jit(lambda ascent: ascent(KEY, problem, policy, recorded()))
    same(search(Ascent(horizon=9, starts=8, steps=5)), search(Ascent(horizon=1, starts=8, steps=5)))


def test_finds_the_best_actions_where_trials_start():
    _, policy = ascended(steps=400, rate=0.03)
    for x in (-0.3, 0.1):
        action, _ = policy(KEY, jnp.array([x]), None)
        np.testing.assert_allclose(action, [0.7 - x], atol=0.02)  # the reward is flat there: 0.02^2 is 4e-4


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_gradients_that_are_not_finite_are_skipped(bad):
    before, after = ascended(lambda obs, action, next_obs: bad * next_obs[0], steps=20)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_gradient_that_is_not_finite_stops_the_momentum_too():
    """The reward is not a number at some starts: steps that meet one leave the weights where they are."""
    edge = recorded().transitions.obs[0, 0]
    paid = lambda obs, action, next_obs: jnp.where(obs[0] == edge, jnp.nan, -((next_obs[0] - 0.7) ** 2))
    _, policy = ascended(paid, steps=400, rate=0.03)
    for leaf in jax.tree.leaves(policy):
        assert np.isfinite(leaf).all()


def test_the_first_fit_places_the_policy_and_later_ones_keep_it():
    agent = PolicySearchAgent(pets_learner(members=2), TSInf(2), Ascent(horizon=2, starts=2, steps=1, rate=0.0), size=5)
    few = dataclasses.replace(agent.learner.minibatches, min_steps=2, max_steps=2)
    agent = dataclasses.replace(agent, learner=dataclasses.replace(agent.learner, minibatches=few))
    fit, traces = counted(lambda key, state, data: agent.fit(key, TASK, state, data)[0])
    start = agent.start(KEY, TASK)
    first = fit(KEY, start, recorded())
    second = fit(jax.random.key(1), first, recorded())
    assert traces.count == 1
    assert not np.allclose(start.policy.centres, first.policy.centres)
    np.testing.assert_array_equal(first.policy.centres, second.policy.centres)


@pytest.mark.parametrize("seed", [0])
def test_it_brings_a_mass_to_rest(seed):
    """Random earns about -1040, zero action -106, the regulator -14 at best. 200 gradients a trial."""
    whole = pets_learner(members=3)
    few = dataclasses.replace(whole.minibatches, min_steps=800, max_steps=800)
    learner = dataclasses.replace(whole, hidden=(24, 24), minibatches=few)
    agent = PolicySearchAgent(learner, TSInf(3), Ascent(horizon=50, steps=200))
    returns = learn(PointMass(), agent, trials=3, seed=seed).returns
    assert max(returns[1:]) > -40, returns
