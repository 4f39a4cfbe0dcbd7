"""The policies without learning; what all policies keep to is in contracts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.agents.explorer import explorer
from handful.policies.simple import ConstantPolicy, OpenLoop, chosen
from probes import task_of


def test_open_loop_plays_its_plan_and_holds_the_last_action():
    policy = OpenLoop(zoo.PLAN)
    carry, played = policy.init(), []
    for key in jax.random.split(jax.random.key(1), 6):
        action, carry = policy(key, zoo.OBS, carry)
        played.append(action)
    expected = np.concatenate([zoo.PLAN, zoo.PLAN[-1:], zoo.PLAN[-1:]])
    np.testing.assert_array_equal(played, expected)


def test_constant():
    policy = ConstantPolicy(zoo.ACTION)
    action, _ = policy(jax.random.key(1), 3 * jnp.ones(3), policy.init())
    np.testing.assert_array_equal(action, zoo.ACTION)


@pytest.mark.parametrize("colour", [None, 1.0])
def test_the_first_trial_draws_categories_alike_and_independently(colour):
    """4000 draws; 0.04 is five standard errors of a share, and of how often a category is repeated."""
    task = task_of(lambda obs, action, next_obs: obs[0], 3, [0.0] * 3, [1.0] * 3, categorical=True)
    policy = explorer(jax.random.key(8), task, colour)
    keys = jax.random.split(jax.random.key(3), 4000)
    actions = np.asarray(jax.jit(jax.vmap(lambda key: policy(key, zoo.OBS, policy.init())[0]))(keys))
    assert set(map(tuple, actions)) == set(map(tuple, np.eye(3)))
    np.testing.assert_allclose(actions.mean(0), 1 / 3, atol=0.04)
    np.testing.assert_allclose((actions[1:] == actions[:-1]).all(1).mean(), 1 / 3, atol=0.04)


def test_zero_is_the_first_category():
    np.testing.assert_array_equal(chosen(jnp.zeros(3)), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(chosen(jnp.array([[0.2, 0.9, 0.9], [-3.0, -2.0, -1.0]])), [[0, 1, 0], [0, 0, 1]])
