"""One factor on every deviation from the belief's mean."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.models.known import KnownDynamics
from handful.models.recalibrated import Recalibrated, RecalibratedWorld
from handful.planning.problem import Problem
from handful.propagation.risk import MeanStd
from handful.propagation.trajectory_sampling import TS1, TSInf
from probes import at, close, counted, jitted, linear_ensemble, shaken, task_of

KEY = jax.random.key(3)
FACTOR = 1.7
OBS, ACTION = jnp.array([0.9, -2.1]), jnp.array([0.6])


@functools.cache
def belief():
    """Members `obs + delta obs + push action + offset` with noise, all different."""
    rng = np.random.default_rng(8)
    return linear_ensemble(
        rng.normal(0, 0.3, (3, 2, 2)), rng.normal(0, 1, (3, 2, 1)), rng.normal(0, 1, (3, 2)), rng.normal(-2, 1, (3, 2))
    )


def in_each(worlds, call):
    return jitted(eqx.filter_vmap(call), worlds)


def test_the_mean_stays_and_both_variances_grow_by_the_square():
    plain, stretched = (jitted(model.predict, OBS, ACTION) for model in (belief(), Recalibrated(belief(), FACTOR)))
    np.testing.assert_array_equal(stretched.mean, plain.mean)
    np.testing.assert_allclose(stretched.aleatoric, FACTOR**2 * plain.aleatoric, rtol=1e-6)
    np.testing.assert_allclose(stretched.epistemic, FACTOR**2 * plain.epistemic, rtol=1e-6)
    assert (plain.epistemic > 0).all()


def test_worlds_are_the_beliefs_moved_away_from_its_mean():
    model = Recalibrated(belief(), FACTOR)
    assert model.world_count == 3
    mean = np.asarray(jitted(belief().predict, OBS, ACTION).mean)
    plain = in_each(jitted(belief().worlds, KEY, 3), lambda world: world.predict(OBS, ACTION))
    moved = in_each(jitted(model.worlds, KEY, 3), lambda world: world.predict(OBS, ACTION))
    np.testing.assert_allclose(moved.mean, mean + FACTOR * (np.asarray(plain.mean) - mean), rtol=1e-5)
    np.testing.assert_allclose(moved.aleatoric, FACTOR**2 * plain.aleatoric, rtol=1e-5)
    np.testing.assert_array_equal(moved.epistemic, 0)
    # what the worlds say together is what the belief says: their spread is its epistemic variance
    np.testing.assert_allclose(np.var(moved.mean, 0), jitted(model.predict, OBS, ACTION).epistemic, rtol=1e-4)


def test_process_noise_is_stretched_with_the_world():
    model = Recalibrated(belief(), FACTOR)
    mean = np.asarray(jitted(belief().predict, OBS, ACTION).mean)
    worlds = [jitted(each.worlds, KEY, 3) for each in (belief(), model)]
    for plain, moved in (worlds, (stacked(belief()), stacked(model))):
        one, other = (in_each(each, lambda world: world.sample(KEY, OBS, ACTION)) for each in (plain, moved))
        np.testing.assert_allclose(other, mean + FACTOR * (np.asarray(one) - mean), rtol=1e-5)


def stacked(model):
    return jax.tree.map(lambda leaf: leaf[None], model)


def test_worlds_of_a_recalibrated_world_are_itself():
    world = at(jitted(Recalibrated(belief(), FACTOR).worlds, KEY, 3), 1)
    assert isinstance(world, RecalibratedWorld)
    assert world.world_count == 1
    again = in_each(jitted(world.worlds, KEY, 4), lambda world: world.sample(KEY, OBS, ACTION))
    assert again.shape == (4, 2)
    for one in again:
        close(one, jitted(world.sample, KEY, OBS, ACTION))


def test_factor_one_is_the_belief_itself():
    close(jitted(Recalibrated(belief()).predict, OBS, ACTION), jitted(belief().predict, OBS, ACTION))
    for propagator in (TSInf(6), TS1(6)):
        problems = [
            Problem(zoo.TASK, model, propagator) for model in (zoo.ensemble(), Recalibrated(zoo.ensemble(), 1.0))
        ]
        one, other = (jitted(problem.evaluate, KEY, zoo.OBS, zoo.PLAN[None]) for problem in problems)
        close(one, other, rtol=1e-4)


def test_a_planner_takes_it_and_a_new_factor_compiles_nothing():
    task = task_of(lambda obs, action, next_obs: next_obs[0], 2, [-1.0], [1.5])
    plans = jnp.linspace(-0.8, 1.1, 15).reshape(5, 3, 1)

    def value(model):
        return Problem(task, model, TSInf(6), MeanStd(-1.0)).evaluate(KEY, OBS, plans)

    compiled, traces = counted(value)
    calm, wary = (compiled(Recalibrated(belief(), factor)) for factor in (0.5, 2.0))
    compiled(shaken(Recalibrated(belief(), 2.0)))
    assert traces.count == 1
    assert (wary < calm).all()  # a larger spread has a lower value for a risk-averse planner


def test_a_belief_without_doubt_stays_so():
    model = Recalibrated(KnownDynamics(lambda obs, action: obs + 0.5 * action), 3.0)
    following = in_each(jitted(model.worlds, KEY, 2), lambda world: world.sample(KEY, OBS, ACTION))
    np.testing.assert_allclose(following, np.tile(OBS + 0.3, (2, 1)), rtol=1e-6)


@pytest.mark.parametrize("count", [2, 5])
def test_worlds_are_drawn_as_the_belief_draws_them(count):
    drawn = jitted(Recalibrated(belief(), FACTOR).worlds, KEY, count).world
    close(drawn, jitted(belief().worlds, KEY, count))
