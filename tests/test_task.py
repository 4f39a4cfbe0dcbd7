"""What a task refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.task import Task
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


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"dt": 0.0}, "dt, the duration of a control step, must be finite and above 0 s, got 0.0"),
        ({"dt": np.nan}, "dt, the duration .* got nan"),
        ({"horizon": 10**20}, "a trial may last 2147483647 steps at most"),
        ({"discount": 1.5}, "discount must be from 0 to 1, got 1.5"),
        ({"names": "ab"}, "names must be a tuple of strings, .* got 'ab'"),
        ({"names": (1, 2)}, "names must be a tuple of strings"),
        ({"low": [-3e38], "high": [3e38]}, "and so must be their sum and difference"),
    ],
)
def test_numbers_and_names_out_of_range(changed, sentence):
    sound = {"low": [-1.0], "high": [2.0], "names": ["a", "b"], "dt": 0.1, "horizon": 4}
    task = Task(reward=paid, **sound)
    assert (task.names, task.low.dtype, task.action_size) == (("a", "b"), jnp.float32, 1)
    with pytest.raises(InputError, match=sentence):
        Task(reward=paid, **(sound | changed))
