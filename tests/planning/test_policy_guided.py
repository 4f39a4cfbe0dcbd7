"""A search that begins at what a policy would do, where that is better."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.models.known import KnownDynamics
from handful.planning.base import optimise
from handful.planning.cem import CEM
from handful.planning.icem import ICEM
from handful.planning.policy_guided import PolicyGuided
from handful.planning.problem import Problem
from handful.planning.shooting import RandomShooting
from handful.propagation.trajectory_sampling import TSInf
from probes import Feedback, task_of

KEY = jax.random.key(9)
# x' = x + 0.5 u towards 0: u = -2 x is there at once, within the limits.
TASK = task_of(lambda obs, action, next_obs: -jnp.sum(next_obs**2), 2, [-3.0, -2.0], [3.5, 2.5])
PROBLEM = Problem(TASK, KnownDynamics(lambda obs, action: obs + 0.5 * action), TSInf(1))
OBS = jnp.array([1.1, -0.8])
PLANNERS = [CEM(4, candidates=9, elites=3, iterations=1), ICEM(4, candidates=9, elites=3, keep=2, iterations=1)]
kinds = pytest.mark.parametrize("planner", PLANNERS, ids=lambda planner: type(planner).__name__)


@eqx.filter_jit
def searched(planner, gain):
    """The plan after one iteration of few candidates, prompted by `gain obs`, and its value."""
    prompted = PolicyGuided(planner, Feedback(gain * jnp.eye(2)))
    state, _ = optimise(prompted, KEY, PROBLEM, OBS, prompted.init(PROBLEM))
    return prompted.plan(state), PROBLEM.evaluate(KEY, OBS, prompted.plan(state)[None])[0]


@kinds
def test_a_good_policy_helps_and_a_bad_one_does_no_harm(planner):
    _, helped = searched(planner, jnp.array(-2.0))
    plan, unharmed = searched(planner, jnp.array(1.7))  # runs away: worse than doing nothing
    assert helped > unharmed + 0.3
    # The one key that the search gets, when it is asked by a prompted planner in its only iteration.
    only = jax.random.split(jax.random.split(KEY)[1], 1)[0]
    expected, _ = eqx.filter_jit(planner.improve)(jax.random.split(only, 3)[2], PROBLEM, OBS, planner.init(PROBLEM))
    np.testing.assert_allclose(plan, planner.plan(expected), rtol=1e-5, atol=1e-6)


def test_a_policy_beyond_the_limits_prompts_what_is_within():
    plan, _ = searched(PLANNERS[1], jnp.array(-6.0))
    assert (plan <= TASK.high).all()
    assert (plan >= TASK.low).all()


def test_a_planner_without_a_mean_cannot_be_prompted():
    with pytest.raises(InputError, match=r"PolicyGuided needs an AbstractCentredPlanner, .* got RandomShooting"):
        PolicyGuided(RandomShooting(4, candidates=5), Feedback(jnp.eye(2)))
