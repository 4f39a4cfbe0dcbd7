"""Every learner solves a tiny task whose values are known."""

import equinox as eqx
import jax
import numpy as np
import pytest

import zoo
from crossroads import OBS, VALUES, Crossroads, crossroads
from handful.interaction import train

UPDATES = 120


@pytest.mark.parametrize("name", list(zoo.LEARNERS))
def test_the_best_way_is_found_and_its_worth_known(name):
    """What to do depends on what is seen, pays a step later, and counts on past the end of time alone.

    Three seeds at once, all of which must find it. Values are those of a policy that still tries the wrong way.
    """
    task = crossroads(categorical=name not in zoo.CONTINUOUS)
    learner, env = zoo.LEARNERS[name](task), Crossroads(task)

    def trained(key):
        state, metrics = train(key, env, learner, UPDATES)
        policy = learner.policy(task, state)
        actions = jax.vmap(lambda obs: policy(key, obs, policy.init())[0])(OBS[::2])
        value = zoo.LEARNED_VALUES.get(name)
        return actions, metrics, value and jax.vmap(lambda obs: value(state, obs))(OBS)

    actions, metrics, values = eqx.filter_jit(jax.vmap(trained))(jax.random.split(jax.random.key(7), 3))
    ways = actions[..., 0] - actions[..., 1] > 0.2
    np.testing.assert_array_equal(ways, [[True, False]] * 3)
    late = slice(UPDATES * 2 // 3, None)
    mean = metrics.return_sum[:, late].sum(1) / metrics.episodes[:, late].sum(1)
    assert (mean > 0.9).all(), "1 is the best"
    if values is not None:
        np.testing.assert_allclose(values, [VALUES] * 3, atol=0.15)
