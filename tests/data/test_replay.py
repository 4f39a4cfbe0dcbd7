from collections import deque

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float, Int

from handful.data.replay import Replay
from handful.errors import InputError
from handful.types import Transition
from probes import counted

CAPACITY = 7


class Row(eqx.Module):
    """Leaves of several types and shapes."""

    obs: Float[Array, "*b 3"]
    action: Int[Array, "*b"]
    reward: Float[Array, "*b"]
    over: Bool[Array, "*b"]


NONE = Row(jnp.zeros(3), jnp.zeros((), int), jnp.zeros(()), jnp.zeros((), bool))


def rows(first, size):
    """Rows that differ: the number `first`, `first + 1`, ... is in every entry."""
    number = np.arange(first, first + size)
    fields = number[:, None] + np.array([0.25, 0.5, 0.75]), number % 4, 10.0 * number, number % 3 == 1
    return Row(*(jnp.asarray(field, kind) for field, kind in zip(fields, (float, int, float, bool), strict=True)))


def test_the_ring_keeps_what_a_deque_keeps():
    """Batches of three that pass the end of the ring at places of every kind, with one trace."""
    add, traces = counted(Replay.add)
    replay, kept = Replay.empty(NONE, CAPACITY), deque(maxlen=CAPACITY)
    for first in range(1, 28, 3):
        replay = add(replay, rows(first, 3))
        kept.extend(range(first, first + 3))
        size = int(replay.size)
        assert size == len(kept)
        assert int(replay.added) == first + 2
        order = jnp.argsort(replay.rows.reward[:size])
        expected = rows(kept[0], size)
        for found, wanted in zip(jax.tree.leaves(replay.at(order)), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(found, wanted)
            assert found.dtype == wanted.dtype
    assert traces.count == 1


def test_rows_that_are_not_to_be_kept_are_left_out():
    replay = Replay.empty(NONE, CAPACITY).add(rows(31, 4))
    replay = replay.add(rows(1, 5), jnp.array([True, False, True, False, True]))
    assert int(replay.added) == 7
    np.testing.assert_array_equal(replay.rows.reward, [310.0, 320.0, 330.0, 340.0, 10.0, 30.0, 50.0])
    np.testing.assert_array_equal(replay.rows.action, [3, 0, 1, 2, 1, 3, 1])


def test_draws_are_uniform_over_what_is_held():
    """12 000 draws from five rows: each within five stds of its share, so a false alarm in 1e-6 of runs."""
    replay = Replay.empty(NONE, CAPACITY).add(rows(1, 5))
    counts = np.bincount(np.asarray(replay.draw(jax.random.key(4), (60, 200))).ravel(), minlength=CAPACITY)
    assert counts[5:].tolist() == [0, 0]
    assert np.abs(counts[:5] - 2400).max() < 5 * np.sqrt(12_000 * 0.2 * 0.8)


def test_rows_may_be_transitions_with_continuous_raw_actions():
    """As an off-policy actor-critic needs them, in a buffer that passes through `jit`."""
    no = jnp.zeros((), bool)
    empty = Replay.empty(Transition(jnp.zeros(3), jnp.zeros(2), jnp.zeros(()), jnp.zeros(3), no, no), 5)
    number = jnp.arange(1.0, 5.0)
    obs, action = number[:, None] + jnp.array([0.1, 0.2, 0.3]), number[:, None] * jnp.array([-0.7, 1.9])
    batch = Transition(obs, action, number, obs + 1, number == 2, number == 3)
    replay = eqx.filter_jit(Replay.add)(empty, batch, jnp.isfinite(number) & (number != 3))
    found = replay.at(jnp.array([2, 0]))
    np.testing.assert_array_equal(found.action, action[jnp.array([3, 0])])
    np.testing.assert_array_equal(found.next_obs, obs[jnp.array([3, 0])] + 1)
    assert found.terminated.tolist() == [False, False]


def test_more_at_once_than_the_ring_holds_is_refused():
    with pytest.raises(InputError, match="capacity 7 cannot take 8"):
        Replay.empty(NONE, CAPACITY).add(rows(1, 8))
