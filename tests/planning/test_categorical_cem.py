"""CEM over categories: one iteration rewritten in NumPy, and the best of all plans found by trying each."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.models.known import KnownDynamics
from handful.planning.base import optimise
from handful.planning.categorical_cem import CategoricalCEM, CategoricalCEMState
from handful.planning.cem import CEM
from handful.planning.problem import Problem
from handful.propagation.trajectory_sampling import TSInf
from probes import reaching, same, task_of

HORIZON, CATEGORIES, CANDIDATES, ELITES = 5, 3, 30, 6
OBS = np.array([0.3, -0.2])
PUSHES = np.array([[0.9, -0.2], [-0.6, 0.5], [0.1, -0.7]])  # of each category
IMPROVE = eqx.filter_jit(lambda planner, *args: planner.improve(*args))


class Goal(eqx.Module):
    """Be at the goal, turn by turn; nothing is paid, not even a number, for the second category once entry 0 is low."""

    edge: jax.Array

    def __call__(self, obs, action, next_obs):
        gap = next_obs - jnp.array([0.8, -0.9])
        return jnp.where((action[1] > 0.5) & (obs[0] < self.edge), jnp.nan, -gap @ gap)


def problem(edge=-9.0):
    task = task_of(Goal(jnp.asarray(edge)), 2, [0.0] * CATEGORIES, [1.0] * CATEGORIES, categorical=True)
    pushes = jnp.asarray(PUSHES, jnp.float32)
    return Problem(task, KnownDynamics(lambda obs, action: 0.9 * obs + action @ pushes), TSInf(1))


def returned(plans, edge=-9.0):
    """The returns of `problem`, in NumPy; plans as category indices."""
    plans, total = np.asarray(plans), 0.0
    obs = np.broadcast_to(OBS, (len(plans), 2))
    for step in range(plans.shape[1]):
        after = 0.9 * obs + PUSHES[plans[:, step]]
        poison = (plans[:, step] == 1) & (obs[:, 0] < edge)
        total = total + np.where(poison, -np.inf, -((after - [0.8, -0.9]) ** 2).sum(1))
        obs = after
    return total


def planner(**settings):
    return CategoricalCEM(HORIZON, CANDIDATES, ELITES, **settings)


def some_state():
    rng = np.random.default_rng(4)
    best = np.array([2, 0, 1, 2, 0])
    return rng.dirichlet([2.0, 1.0, 3.0], HORIZON), best


def state_of(probabilities, best):
    return CategoricalCEMState(jnp.asarray(probabilities, jnp.float32), jax.nn.one_hot(best, CATEGORIES))


@pytest.mark.parametrize("smoothing", [0.1, 0.35, 0.0])
@pytest.mark.parametrize("edge", [-9.0, 0.9], ids=["all finite", "fewer finite than elites"])
def test_one_iteration_is_the_update_of_frequencies(smoothing, edge):
    """The candidates are the plan at hand, the likeliest categories, and draws by Gumbel noise, which is exact."""
    key, (probabilities, best) = jax.random.key(7), some_state()
    if edge > 0:
        probabilities = 0.4 * probabilities + 0.6 * np.array([0.1, 0.8, 0.1])  # so that most plans are poisoned
    state, info = IMPROVE(
        planner(smoothing=smoothing, exploring=0.25),
        key,
        problem(edge),
        jnp.asarray(OBS, jnp.float32),
        state_of(probabilities, best),
    )
    noise = np.asarray(jax.random.gumbel(jax.random.split(key)[0], (CANDIDATES - 2, HORIZON, CATEGORIES)), float)
    drawn = np.argmax(np.log(0.75 * probabilities + 0.25 / 3) + noise, -1)
    plans = np.concatenate([[best], [probabilities.argmax(1)], drawn])
    returns = returned(plans, edge)
    order = np.argsort(-returns, kind="stable")[:ELITES]
    elites = plans[order[np.isfinite(returns[order])]]
    assert (len(elites) == ELITES) == (edge < 0)
    assert len(elites) > 1
    frequencies = np.eye(CATEGORIES)[elites].mean(0)
    np.testing.assert_allclose(
        state.probabilities, smoothing * probabilities + (1 - smoothing) * frequencies, rtol=1e-5, atol=1e-7
    )
    np.testing.assert_array_equal(np.argmax(state.best, 1), elites[0])
    np.testing.assert_array_equal(state.best.sum(1), 1.0)
    np.testing.assert_allclose(info.best, returns.max(), rtol=1e-5)
    np.testing.assert_allclose(info.finite, np.isfinite(returns).mean(), rtol=1e-6)


@eqx.filter_jit
def followed(planner, problem, keys):
    """The plan of each key."""

    def one(key):
        state, _ = optimise(planner, key, problem, jnp.asarray(OBS, jnp.float32), planner.init(problem))
        return planner.plan(state)

    return jax.vmap(one)(keys)


# Of 256 other keys all find the best of 243 plans; of 6561 plans 224 find the best, where 26 % of them would by draws
# at random, and the worst key finds the 51st. Fewer than 10 of 16 would be one case in 300.
@pytest.mark.parametrize(("horizon", "least", "rank"), [(5, 16, 0), (8, 10, 99)])
@pytest.mark.parametrize("edge", [-9.0, 0.35], ids=["all finite", "half of them poisoned"])
def test_finds_the_best_of_all_plans(horizon, least, rank, edge):
    """Each plan is tried by brute force; 16 keys, 20 iterations of 100 candidates."""
    every = np.array(list(itertools.product(range(CATEGORIES), repeat=horizon)))
    returns = returned(every, edge)
    assert np.isfinite(returns).all() == (edge < 0)
    keys = jax.random.split(jax.random.key(1), 16)
    found = followed(CategoricalCEM(horizon, 100, 10, iterations=20), problem(edge), keys)
    values = returned(np.argmax(found, -1), edge)
    assert (values == returns.max()).sum() >= least
    assert values.min() >= np.sort(returns)[::-1][rank]


def test_it_starts_with_all_categories_alike():
    state = planner().init(problem())
    np.testing.assert_allclose(state.probabilities, 1 / 3, rtol=1e-6)
    np.testing.assert_array_equal(np.argmax(state.best, 1), 0)


def test_the_next_step_starts_from_what_was_planned_moved_on_and_looks_more_widely():
    probabilities, best = some_state()
    state = planner(widening=0.4).shift(problem(), state_of(probabilities, best))
    expected = 0.6 * np.concatenate([probabilities[1:], [[1 / 3] * 3]]) + 0.4 / 3
    np.testing.assert_allclose(state.probabilities, expected, rtol=1e-6)
    np.testing.assert_array_equal(np.argmax(state.best, 1), [*best[1:], best[-1]])


def test_among_equals_the_plan_at_hand_is_kept():
    """So a controller that may do anything does not dither."""
    task = task_of(lambda obs, action, next_obs: 0.0 * obs[0], 2, [0.0] * 3, [1.0] * 3, categorical=True)
    indifferent = Problem(task, problem().model, TSInf(1))
    before = state_of(*some_state())
    after, _ = IMPROVE(planner(), jax.random.key(3), indifferent, jnp.asarray(OBS, jnp.float32), before)
    same(planner().plan(after), before.best)


def test_planners_and_tasks_of_another_kind_are_refused():
    with pytest.raises(InputError, match="CategoricalCEM needs a task with discrete actions; take CEM"):
        planner().init(reaching())
    with pytest.raises(
        InputError, match="needs continuous actions, and those of the task are categories; take CategoricalCEM"
    ):
        CEM(HORIZON, CANDIDATES, ELITES).init(problem())
    with pytest.raises(InputError, match="elites from 1 to the 28 candidates of 30 that are drawn afresh, got 29"):
        CategoricalCEM(HORIZON, CANDIDATES, 29)
