"""The policies without learning; what all policies keep to is in contracts."""

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from handful.policies.simple import ConstantPolicy, OpenLoop


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
