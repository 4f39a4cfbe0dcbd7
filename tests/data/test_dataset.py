"""Padded storage against a plain list."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.data.dataset import Dataset
from handful.errors import InputError
from handful.types import Transition
from probes import counted, same, task_of

TASK = task_of(lambda obs, action, next_obs: obs[0], 3, [-1.0, -0.8], [1.5, 0.4])


def batch(length, first=1.0):
    """Transitions in which no number is zero or comes twice."""
    numbers = lambda columns, at: first + at + jnp.arange(length * columns, dtype=float).reshape(length, columns)
    flag = jnp.arange(length) % 2 == 0
    return Transition(numbers(3, 0.1), numbers(2, 0.2), numbers(1, 0.3)[:, 0], numbers(3, 0.4), flag, ~flag)


def rows(data):
    return jax.tree.map(lambda leaf: leaf[: int(data.count)], data.transitions)


def test_rows_stand_in_order_with_their_trials_and_padding_is_zero():
    data = Dataset.empty(TASK, 11).add(batch(4), trial=0).add(batch(3, 50.0), trial=2)
    assert data.capacity == 11
    assert int(data.count) == 7
    same(rows(data), jax.tree.map(lambda *pieces: jnp.concatenate(pieces), batch(4), batch(3, 50.0)))
    np.testing.assert_array_equal(data.trial, [0] * 4 + [2] * 3 + [-1] * 4)
    np.testing.assert_array_equal(data.mask(), [True] * 7 + [False] * 4)
    assert not any(np.any(leaf[7:]) for leaf in jax.tree.leaves(data.transitions))


def test_rows_past_the_given_number_leave_no_trace_and_are_written_over():
    poisoned = jax.tree.map(
        lambda leaf: leaf.at[2:].set(jnp.nan) if leaf.dtype == jnp.float32 else leaf, batch(5)
    )  # what comes after the end of a trial means nothing
    data = Dataset.empty(TASK, 9).add(poisoned, trial=1, rows=2)
    assert int(data.count) == 2
    np.testing.assert_array_equal(data.trial, [1] * 2 + [-1] * 7)
    assert not any(np.any(leaf[2:]) for leaf in jax.tree.leaves(data.transitions))
    data = data.add(batch(3, 70.0), trial=4)
    expected = jax.tree.map(lambda a, b: jnp.concatenate([a[:2], b]), batch(5), batch(3, 70.0))
    same(rows(data), expected)
    np.testing.assert_array_equal(data.trial, [1, 1, 4, 4, 4, -1, -1, -1, -1])


def test_a_batch_that_does_not_fit_is_refused_and_a_grown_dataset_takes_it():
    data = Dataset.empty(TASK, 6).add(batch(4), trial=0)
    with pytest.raises(InputError, match=r"3 transitions do not fit: 4 of 6 rows.*grown"):
        data.add(batch(3, 50.0), trial=1)
    larger = data.grown(8)
    same(rows(larger), rows(data))
    np.testing.assert_array_equal(larger.trial, [0] * 4 + [-1] * 4)
    assert not any(np.any(leaf[4:]) for leaf in jax.tree.leaves(larger.transitions))
    assert int(larger.add(batch(3, 50.0), trial=1).count) == 7
    with pytest.raises(InputError, match="capacity 8 cannot be cut to 7"):
        larger.grown(7)


def test_growing_data_compile_once_per_capacity():
    mean, traces = counted(lambda data: jnp.sum(data.transitions.obs * data.mask()[:, None]) / data.count)
    data = Dataset.empty(TASK, 12)
    mean(data)
    for trial, rows in enumerate([3, jnp.asarray(2), None]):
        data = data.add(batch(3, 10.0 * trial), trial=trial if rows is None else jnp.asarray(trial), rows=rows)
        mean(data)
    assert traces.count == 1
    mean(data.grown(13))
    assert traces.count == 2
