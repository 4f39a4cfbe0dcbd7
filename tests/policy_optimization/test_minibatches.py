"""How rows are dealt out to minibatches."""

import jax
import numpy as np

from handful.policy_optimization.minibatches import shuffled


def test_every_epoch_deals_out_every_row_once():
    rows = np.asarray(shuffled(jax.random.key(2), 12, 3, 4))
    assert rows.shape == (12, 3)
    epochs = rows.reshape(3, 12)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(12), (3, 1)))
    assert (epochs[0] != epochs[1]).any()


def test_rows_that_do_not_come_out_even_sit_out_an_epoch_each_time_others():
    """One of 11 sits out. That in 40 epochs no more than 6 ever do has a chance of C(11, 6) (6/11)^40, one in 10^8."""
    epochs = np.asarray(shuffled(jax.random.key(2), 11, 40, 5)).reshape(40, 10)
    assert all(len(set(epoch)) == 10 for epoch in epochs)
    out = {(set(range(11)) - set(epoch)).pop() for epoch in epochs}
    assert len(out) > 6
