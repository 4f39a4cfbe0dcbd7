import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.types import Batch, Transition
from handful.values.transitions import DiscreteTransition

NUMBER = jnp.arange(1.0, 7.0).reshape(2, 3)  # two steps of three environments
OBS = NUMBER[..., None] + jnp.array([0.1, 0.2])
ACTION = jax.nn.one_hot(jnp.array([[3, 0, 2], [1, 1, 0]]), 4)
BATCH = Batch(Transition(OBS, ACTION, NUMBER, OBS + 7, NUMBER == 5, NUMBER == 2), NUMBER != 4)


def test_rows_are_laid_out_in_the_order_of_time_and_one_hot_actions_become_indices():
    rows, usable = DiscreteTransition.of(BATCH)
    np.testing.assert_array_equal(rows.reward, np.arange(1, 7))
    np.testing.assert_array_equal(rows.action, [3, 0, 2, 1, 1, 0])
    np.testing.assert_array_equal(rows.next_obs, OBS.reshape(6, 2) + 7)
    np.testing.assert_array_equal(rows.terminated, [False, False, False, False, True, False])
    np.testing.assert_array_equal(usable, [True, True, True, False, True, True])


@pytest.mark.parametrize("field", ["obs", "reward", "next_obs"])
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_rows_that_are_not_finite_are_not_usable(field, value):
    where = lambda batch: getattr(batch.transitions, field)
    _, usable = DiscreteTransition.of(eqx.tree_at(where, BATCH, where(BATCH).at[0, 1].set(value)))
    np.testing.assert_array_equal(usable, [True, False, True, False, True, True])
