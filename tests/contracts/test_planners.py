"""What every planner keeps to."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import zoo
from handful.fields import real
from handful.planning.base import optimise
from handful.propagation.distribution_sampling import Expectation
from probes import close, counted, differ, jitted, same, shaken

every_planner = pytest.mark.parametrize("name", list(zoo.PLANNERS))
KEY, OTHER = jax.random.split(jax.random.key(5))
compiled_optimise, traces = counted(optimise)  # one program a planner, for all tests here


class Weighted(eqx.Module):
    """The zoo's reward, times a weight."""

    weight: Array = real(1.0)

    def __call__(self, obs, action, next_obs):
        return self.weight * zoo.reward(obs, action, next_obs)


def made(name):
    """A planner, and a problem that it can be asked about."""
    task = dataclasses.replace(zoo.task_for(name), reward=Weighted())
    return zoo.PLANNERS[name](), zoo.problem(zoo.known(), task=task)


@every_planner
def test_the_key_decides_and_jit_does_not(name):
    planner, problem = made(name)
    start = jitted(planner.init, problem)
    one, again, other = (compiled_optimise(planner, key, problem, zoo.OBS, start) for key in (KEY, KEY, OTHER))
    same(one, again)
    assert differ(one[0], other[0]) == (name != "ILQR")  # which has no randomness of its own
    close(one, optimise(planner, KEY, problem, zoo.OBS, start))


@pytest.mark.smoke
@every_planner
def test_the_plan_fits_the_task_and_improves(name):
    planner, problem = made(name)
    start = jitted(planner.init, problem)
    state, info = compiled_optimise(planner, KEY, problem, zoo.OBS, start)
    plan, first_plan = jax.device_get((jitted(planner.plan, state), jitted(planner.plan, start)))
    assert plan.shape == (zoo.HORIZON, 2)
    assert (plan >= problem.task.low - 1e-6).all()
    assert (plan <= problem.task.high + 1e-6).all()
    for value in (info.best, info.elite, info.finite):
        assert value.shape == (planner.iterations,)
    np.testing.assert_array_equal(info.finite, 1.0)
    assert (info.elite <= info.best).all()
    middle = (np.asarray(problem.task.low) + np.asarray(problem.task.high)) / 2
    first = np.eye(2)[0] if problem.task.categorical else middle
    same(first_plan, np.broadcast_to(first, (zoo.HORIZON, 2)))
    before, after = jitted(problem.evaluate, KEY, zoo.OBS, jnp.stack([first_plan, plan]))
    assert after > before + 0.01


# Each belief meets a planner that samples and one that takes its derivatives, and each planner two beliefs or more: the
# other tests here plan through known dynamics.
SAMPLING, BY_DERIVATIVE = ("RandomShooting", "CEM", "ICEM", "MPPI"), ("GradientPlanner", "ILQR")
MET = [
    (model, planners[index % len(planners)])
    for index, model in enumerate(zoo.BELIEFS)
    for planners in (SAMPLING, BY_DERIVATIVE)
]


@pytest.mark.parametrize(("model", "name"), MET)
def test_every_belief_drives_planners_of_both_kinds(model, name):
    planner = dataclasses.replace(zoo.PLANNERS[name](), horizon=3, iterations=2)
    problem = zoo.problem(zoo.MODELS[model](), Expectation())
    start = jitted(planner.init, problem)
    state, info = compiled_optimise(planner, KEY, problem, zoo.OBS, start)
    plan, first_plan = jax.device_get((jitted(planner.plan, state), jitted(planner.plan, start)))
    assert plan.shape == (3, 2)
    assert (plan >= zoo.TASK.low - 1e-6).all()
    assert (plan <= zoo.TASK.high + 1e-6).all()
    assert not np.allclose(plan, first_plan, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(info.finite, 1.0)


@every_planner
def test_states_have_one_type_from_init_to_shift(name):
    """So a driver that carries them from step to step compiles once."""
    planner, problem = made(name)
    start = jitted(planner.init, problem)
    state, _ = compiled_optimise(planner, KEY, problem, zoo.OBS, start)
    types = [jax.tree.map(jax.typeof, s) for s in (start, state, jitted(planner.shift, problem, state))]
    assert jax.tree.structure(start) == jax.tree.structure(state)
    for other in types[1:]:
        assert jax.tree.leaves(types[0]) == jax.tree.leaves(other)
    assert [leaf.weak_type for leaf in jax.tree.leaves(types[0])] == [False] * len(jax.tree.leaves(start))


@every_planner
def test_new_weights_goals_and_settings_compile_nothing(name):
    planner, problem = made(name)
    compiled = lambda planner, problem: compiled_optimise(planner, KEY, problem, zoo.OBS, jitted(planner.init, problem))
    before, count = compiled(planner, problem), traces.count
    assert differ(before, compiled(planner, eqx.tree_at(lambda p: p.model, problem, shaken(problem.model))))
    other = compiled(jax.tree.map(lambda leaf: 0.6 * leaf, planner), problem)
    assert differ(before, other) == bool(jax.tree.leaves(planner))
    if not problem.task.categorical:
        narrow = eqx.tree_at(lambda p: p.task.high, problem, zoo.TASK.high - 0.3)
        limited, _ = compiled(planner, narrow)
        assert (np.asarray(jitted(planner.plan, limited)) <= np.asarray(zoo.TASK.high) - 0.3 + 1e-6).all()
    assert traces.count == count


@every_planner
def test_where_nothing_is_finite_nothing_is_learned(name):
    """And the plan stays finite: the robot goes on doing what it did."""
    planner, problem = made(name)
    broken = eqx.tree_at(lambda p: p.task.reward.weight, problem, jnp.asarray(jnp.nan))
    start = jitted(planner.init, broken)
    learned, _ = compiled_optimise(planner, KEY, problem, zoo.OBS, start)
    for state in (start, learned):
        after, info = compiled_optimise(planner, OTHER, broken, zoo.OBS, state)
        np.testing.assert_array_equal(info.finite, 0.0)
        np.testing.assert_array_equal(info.best, -np.inf)
        same(jitted(planner.plan, after), jitted(planner.plan, state))
        expected = state
        if name == "ICEM":  # its kept plans were tried again and found worthless
            expected = eqx.tree_at(lambda s: (s.kept, s.usable), state, (after.kept, jnp.zeros(2, bool)))
        same(after, expected)
        shifted = jitted(planner.shift, broken, after)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, shifted))) or (
            name == "RandomShooting"  # whose best return so far is minus infinity, before any
        )
        assert np.isfinite(jitted(planner.plan, shifted)).all()
