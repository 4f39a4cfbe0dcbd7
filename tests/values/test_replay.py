from collections import deque

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.errors import InputError
from handful.types import Transition
from handful.values.replay import Memory, Replay
from probes import counted

CAPACITY = 7


def rows(first, size):
    """Memories that can be told apart: the number `first`, `first + 1`, ... is in every entry."""
    number = np.arange(first, first + size)
    obs = number[:, None] + np.array([0.25, 0.5, 0.75])
    fields = obs, number % 4, 10.0 * number, obs + 1000.0, number % 3 == 1
    return Memory(
        *(jnp.asarray(field, kind) for field, kind in zip(fields, (float, int, float, float, bool), strict=True))
    )


def test_the_ring_keeps_what_a_deque_keeps():
    """Batches of three that pass the end of the ring at places of every kind, with one trace."""
    add, traces = counted(Replay.add)
    replay, kept = Replay.empty(3, CAPACITY), deque(maxlen=CAPACITY)
    for first in range(1, 28, 3):
        replay = add(replay, rows(first, 3))
        kept.extend(range(first, first + 3))
        held = int(replay.held)
        assert held == len(kept)
        assert int(replay.added) == first + 2
        order = jnp.argsort(replay.rows.reward[:held])
        expected = rows(kept[0], held)
        for found, wanted in zip(jax.tree.leaves(replay.at(order)), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert traces.count == 1


@pytest.mark.parametrize("field", ["obs", "reward", "next_obs"])
def test_rows_that_are_not_finite_are_left_out(field):
    batch = rows(1, 5)
    value = getattr(batch, field)
    where = lambda memory: getattr(memory, field)  # noqa: E731
    replay = Replay.empty(3, CAPACITY).add(rows(31, 4))
    replay = replay.add(eqx.tree_at(where, batch, value.at[1].set(jnp.nan).at[3].set(jnp.inf)))
    assert int(replay.added) == 7
    np.testing.assert_array_equal(replay.rows.reward, [310.0, 320.0, 330.0, 340.0, 10.0, 30.0, 50.0])


def test_draws_are_uniform_over_what_is_held():
    """12 000 draws from five rows: each within five stds of its share, so a false alarm in 1e-6 of runs."""
    replay = Replay.empty(3, CAPACITY).add(rows(1, 5))
    counts = np.bincount(np.asarray(replay.draw(jax.random.key(4), (60, 200))).ravel(), minlength=CAPACITY)
    assert counts[5:].tolist() == [0, 0]
    assert np.abs(counts[:5] - 2400).max() < 5 * np.sqrt(12_000 * 0.2 * 0.8)


def test_transitions_are_laid_out_in_the_order_of_time():
    """Two steps of three environments; the one-hot choice becomes its index."""
    number = jnp.arange(1.0, 7.0).reshape(2, 3)
    obs = number[..., None] + jnp.array([0.1, 0.2])
    choice = jnp.array([[3, 0, 2], [1, 1, 0]])
    over = number == 5
    memory = Memory.of(Transition(obs, jax.nn.one_hot(choice, 4), number, obs + 7, over, number == 2))
    np.testing.assert_array_equal(memory.reward, np.arange(1, 7))
    np.testing.assert_array_equal(memory.choice, [3, 0, 2, 1, 1, 0])
    np.testing.assert_array_equal(memory.next_obs, obs.reshape(6, 2) + 7)
    np.testing.assert_array_equal(memory.terminated, [False, False, False, False, True, False])


def test_more_at_once_than_the_ring_holds_is_refused():
    with pytest.raises(InputError, match="capacity 7 cannot take 8"):
        Replay.empty(3, CAPACITY).add(rows(1, 8))
