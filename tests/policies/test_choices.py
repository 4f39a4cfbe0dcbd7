import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.policies.choices import Choices
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


@pytest.mark.parametrize(("per_entry", "says"), [(None, "got None"), (1, "got 1"), (65, "make 4225 choices")])
def test_a_grid_of_no_sensible_size_is_refused(per_entry, says):
    with pytest.raises(InputError, match=says):
        Choices.of(TASK, per_entry)
