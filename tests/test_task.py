"""What a task refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from probes import task_of


def paid(obs, action, next_obs):
    return obs[0]


@pytest.mark.parametrize(("low", "high"), [([-np.inf, 0.0], [1.0, 2.0]), ([0.0, 1.0], [1.0, -1.0]), ([np.nan], [1.0])])
def test_limits_are_finite_and_in_order(low, high):
    with pytest.raises(InputError, match="action limits must be finite with low at most high"):
        task_of(paid, 2, low, high)


def test_one_hot_actions_lie_between_zero_and_one():
    assert task_of(paid, 2, [0.0, 0.0], [1.0, 1.0], categorical=True).categorical
    with pytest.raises(
        InputError, match=r"one-hot actions must have the limits 0 and 1, got low=\[0. 0.\] and high=\[1. 2.\]"
    ):
        task_of(paid, 2, [0.0, 0.0], [1.0, 2.0], categorical=True)


def test_limits_may_be_known_only_to_a_compiled_function():
    def middle(low, high):
        task = task_of(paid, 2, low, high)
        return (task.low + task.high) / 2

    np.testing.assert_allclose(jax.jit(middle)(jnp.array([-1.0]), jnp.array([4.0])), [1.5])
