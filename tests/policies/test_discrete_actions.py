import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.policies.discrete_actions import DiscreteActions, EpsilonGreedy
from probes import task_of
from zoo import CHOICE, TASK


def test_categories_are_their_own_choices():
    actions = DiscreteActions.of(CHOICE, None)
    assert actions.count == 2
    np.testing.assert_array_equal(actions.to_env_action(jnp.array([0.0, 1.0])), [0.0, 1.0])


def test_many_categories_need_no_matrix_of_them():
    """Of 10,000 categories a matrix of one-hot vectors would take 400 MB."""
    count = 10_000
    task = task_of(lambda o, a, n: o[0], 2, np.zeros(count), np.ones(count), categorical=True)
    actions = DiscreteActions.of(task, None)
    assert sum(leaf.size for leaf in jax.tree.leaves(actions)) == 0
    assert actions.count == count
    one = actions.at(jnp.asarray(7_777))
    assert (one.shape, int(one.argmax()), float(one.sum())) == ((count,), 7_777, 1.0)
    np.testing.assert_array_equal(actions.to_env_action(one), one)
    assert int(actions.nearest(0.3 * one)) == 7_777
    with pytest.raises(InputError, match="an action may have 10000 entries at most, got 10001"):
        task_of(lambda o, a, n: o[0], 2, np.zeros(count + 1), np.ones(count + 1), categorical=True)


def test_the_action_of_an_index_is_its_row():
    for actions in (DiscreteActions.of(TASK, 3), DiscreteActions.of(CHOICE, None)):
        each = jax.vmap(actions.at)(jnp.arange(actions.count))
        np.testing.assert_array_equal(each, actions.to_env_action(jnp.eye(actions.count)))
        assert [int(actions.nearest(action)) for action in each] == list(range(actions.count))


def test_a_grid_of_very_many_actions_is_refused_in_one_sentence():
    task = task_of(lambda o, a, n: o[0], 2, -np.ones(9_000), np.ones(9_000))
    with pytest.raises(InputError, match=r"makes 10\^12 actions or more, more than the limit of 4096"):
        DiscreteActions.of(task, 3)


def test_continuous_actions_become_a_grid_with_the_limits_in_it():
    actions = DiscreteActions.of(TASK, 3)
    first, second = [-1.0, 0.25, 1.5], [-0.8, -0.2, 0.4]
    expected = [[one, other] for one in first for other in second]
    assert actions.count == 9
    np.testing.assert_allclose(actions.to_env_action(jnp.eye(9)), expected, rtol=1e-6)
    np.testing.assert_allclose(actions.to_env_action(jnp.eye(9)[5]), [0.25, 0.4], rtol=1e-6)


@pytest.mark.parametrize(("bins_per_dim", "says"), [(None, "got None"), (1, "got 1"), (65, "makes 4225 actions")])
def test_a_grid_of_no_sensible_size_is_refused(bins_per_dim, says):
    with pytest.raises(InputError, match=says):
        DiscreteActions.of(TASK, bins_per_dim)


def test_the_nearest_action_is_found_by_its_distance():
    actions = DiscreteActions.of(TASK, 3)
    assert int(actions.nearest(jnp.array([0.3, 0.35]))) == 5
    assert int(actions.nearest(jnp.array([-7.0, -0.55]))) == 0


def test_epsilon_greedy_shares_its_draws():
    """9000 draws at epsilon 0.3 among four: 0.775 and three times 0.075; five stds, a false alarm in 1e-5 of runs."""
    policy = EpsilonGreedy(
        lambda obs: jnp.array([0.2, jnp.nan, 0.7, jnp.inf]) * obs[0], DiscreteActions(jnp.eye(4)), 0.3
    )
    draws = jax.jit(jax.vmap(lambda key: policy.sample(key, jnp.array([1.5]))))(
        jax.random.split(jax.random.key(3), 9000)
    )
    expected = np.array([0.075, 0.075, 0.775, 0.075])
    assert (np.asarray(draws).sum(1) == 1).all()
    assert (np.abs(draws.mean(0) - expected) < 5 * np.sqrt(expected * (1 - expected) / 9000)).all()
