import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.policies.choices import Choices, EpsilonGreedy
from zoo import CHOICE, TASK


def test_categories_are_their_own_choices():
    choices = Choices.of(CHOICE, None)
    assert choices.count == 2
    np.testing.assert_array_equal(choices.action(jnp.array([0.0, 1.0])), [0.0, 1.0])


def test_continuous_actions_become_a_grid_with_the_limits_in_it():
    choices = Choices.of(TASK, 3)
    first, second = [-1.0, 0.25, 1.5], [-0.8, -0.2, 0.4]
    expected = [[one, other] for one in first for other in second]
    assert choices.count == 9
    np.testing.assert_allclose(choices.action(jnp.eye(9)), expected, rtol=1e-6)
    np.testing.assert_allclose(choices.action(jnp.eye(9)[5]), [0.25, 0.4], rtol=1e-6)


@pytest.mark.parametrize(("bins_per_dim", "says"), [(None, "got None"), (1, "got 1"), (65, "make 4225 choices")])
def test_a_grid_of_no_sensible_size_is_refused(bins_per_dim, says):
    with pytest.raises(InputError, match=says):
        Choices.of(TASK, bins_per_dim)


def test_epsilon_greedy_shares_its_draws():
    """9000 draws at epsilon 0.3 among four: 0.775 and three times 0.075; five stds, a false alarm in 1e-5 of runs."""
    policy = EpsilonGreedy(lambda obs: jnp.array([0.2, jnp.nan, 0.7, jnp.inf]) * obs[0], Choices(jnp.eye(4)), 0.3)
    draws = jax.jit(jax.vmap(lambda key: policy.draw(key, jnp.array([1.5]))))(jax.random.split(jax.random.key(3), 9000))
    expected = np.array([0.075, 0.075, 0.775, 0.075])
    assert (np.asarray(draws).sum(1) == 1).all()
    assert (np.abs(draws.mean(0) - expected) < 5 * np.sqrt(expected * (1 - expected) / 9000)).all()
