"""What every propagator and every risk keeps to, met through the problem that planners ask."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.policies.simple import OpenLoop
from probes import Feedback, close, counted, differ, same, shaken

every_propagator = pytest.mark.parametrize("name", list(zoo.PROPAGATORS))
every_risk = pytest.mark.parametrize("name", list(zoo.RISKS))
KEY, OTHER = jax.random.split(jax.random.key(3))
PLANS = zoo.PLAN + jnp.array([0.0, -0.15, 0.2, 0.0])[:, None, None]  # the first and the last are one plan


def roll(propagator, key, model, policy, obs):
    return propagator(key, model, policy, obs, zoo.HORIZON)


compiled_roll = eqx.filter_jit(roll)


def evaluate(problem, key, obs, plans):
    return problem.evaluate(key, obs, plans)


@every_propagator
def test_rollouts_start_where_they_are_and_follow_the_plan(name):
    propagator = zoo.PROPAGATORS[name]()
    rollout = compiled_roll(propagator, KEY, zoo.ensemble(), OpenLoop(zoo.PLAN), zoo.OBS)
    particles = 1 if name == "Expectation" else zoo.PARTICLES
    assert rollout.obs.shape == (particles, zoo.HORIZON + 1, 3)
    assert rollout.actions.shape == (particles, zoo.HORIZON, 2)
    same(rollout.obs[:, 0], np.broadcast_to(zoo.OBS, (particles, 3)))
    same(rollout.actions, np.broadcast_to(zoo.PLAN, (particles, zoo.HORIZON, 2)))


@pytest.mark.smoke
@pytest.mark.parametrize("model", zoo.BELIEFS)
def test_every_belief_goes_through_every_propagator(model):
    """One program for all propagators, three steps of each."""
    propagators = [make() for make in zoo.PROPAGATORS.values()]
    plan = zoo.PLAN[:3]

    @eqx.filter_jit
    def all_of(model):
        return [each(KEY, model, OpenLoop(plan), zoo.OBS, 3) for each in propagators]

    for name, rollout in zip(zoo.PROPAGATORS, all_of(zoo.MODELS[model]()), strict=True):
        particles = 1 if name == "Expectation" else zoo.PARTICLES
        assert rollout.obs.shape == (particles, 4, 3), name
        assert np.isfinite(rollout.obs).all(), name
        assert (rollout.obs[:, 1:] != rollout.obs[:, :-1]).any(), name
        same(rollout.actions, np.broadcast_to(plan, (particles, 3, 2)))


@every_propagator
def test_a_policy_sees_its_own_particle(name):
    gain = jnp.array([[0.3, -0.1, 0.2], [-0.2, 0.05, 0.4]])
    rollout = compiled_roll(zoo.PROPAGATORS[name](), KEY, zoo.ensemble(), Feedback(gain), zoo.OBS)
    close(rollout.actions, rollout.obs[:, :-1] @ gain.T)


@every_propagator
def test_the_key_decides_and_jit_does_not(name):
    propagator, policy = zoo.PROPAGATORS[name](), OpenLoop(zoo.PLAN)
    one, again, other = (compiled_roll(propagator, key, zoo.ensemble(), policy, zoo.OBS) for key in (KEY, KEY, OTHER))
    same(one, again)
    assert differ(one, other) == (name != "Expectation")
    close(one, roll(propagator, KEY, zoo.ensemble(), policy, zoo.OBS))


@every_propagator
def test_candidates_meet_the_same_worlds_and_noise_and_new_weights_compile_nothing(name):
    compiled, traces = counted(evaluate)
    problem = zoo.problem(propagator=zoo.PROPAGATORS[name]())
    before = compiled(problem, KEY, zoo.OBS, PLANS)
    assert before.shape == (4,)
    assert before[0] == before[3], "two identical plans in one call have identical returns"
    assert len(np.unique(before)) == 3
    after = compiled(eqx.tree_at(lambda p: p.model, problem, shaken(problem.model)), KEY, zoo.OBS, PLANS)
    assert traces.count == 1
    assert not np.isclose(before, after, rtol=1e-4).any()
    one = [problem.particle_returns(KEY, zoo.OBS, plan).mean() for plan in PLANS[:3]]
    np.testing.assert_allclose(before[:3], one, rtol=1e-5)  # the order of float32 operations


@every_risk
def test_risk_is_compiled_once_and_its_weights_are_leaves(name):
    compiled, traces = counted(lambda risk, returns: risk(returns))
    risk = zoo.RISKS[name]()
    returns = jnp.array([3.1, -2.0, 0.7, 5.5, -0.4, 1.9, 0.3])
    before = compiled(risk, returns)
    assert before.shape == ()
    close(before, risk(returns))
    after = compiled(jax.tree.map(lambda leaf: leaf * 1.7, risk), returns)
    assert traces.count == 1
    assert (before != after) == (name != "Mean")
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(risk))
