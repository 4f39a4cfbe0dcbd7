"""Which weights a fit returns: each member's best, and the last good ones where it goes wrong."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fitting import FIT, KEY, TASK, TRAIN, finite, learner, member, recorded
from handful.data.dataset import Dataset
from handful.models.ensemble_learner import LearningRate
from handful.models.member_training import Progress
from probes import jitted, same


def signed(state, mark):
    """Members whose every number is `mark`."""
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, mark), state.members)


def judged(progress, state, mark, held_nll, *, has_held=(True, True, True), patience=99, loss=(1.0, 1.0, 1.0)):
    return progress.after_block(
        signed(state, mark),
        jax.tree.map(lambda leaf: jnp.full_like(leaf, mark), state.opt_state),
        jnp.array(loss),
        jnp.array(held_nll),
        has_held=jnp.array(has_held),
        step=jnp.asarray(int(mark)),
        patience=jnp.asarray(patience),
    )


def marks(members):
    return [float(value) for value in members.net.biases[0][:, 0]]


@pytest.fixture(scope="module")
def start():
    return jitted(learner().init, KEY, TASK)


def test_each_member_keeps_its_own_best_weights(start):
    """Members peak in blocks 2, 4 and 1; scales and weights go together."""
    progress = Progress.start(start.members, start.opt_state)
    for mark, held in enumerate([[5, 9, 1], [2, 8, 3], [3, 7, 4], [4, 6, 5]], start=1):
        progress = judged(progress, start, float(mark), np.array(held, float))
    assert marks(progress.best) == [2, 4, 1]
    for leaf in jax.tree.leaves(progress.best):
        np.testing.assert_array_equal(leaf.reshape(3, -1), np.broadcast_to([[2], [4], [1]], leaf.reshape(3, -1).shape))
    np.testing.assert_array_equal(progress.best_nll, [2, 6, 1])
    np.testing.assert_array_equal(progress.net.biases[0][:, 0], 4)  # training goes on from the latest
    np.testing.assert_array_equal(progress.stale, [2, 0, 3])


def test_a_stale_member_stops_alone(start):
    progress = Progress.start(start.members, start.opt_state)
    for mark, held in enumerate([[1, 9, 5], [2, 8, 4], [3, 7, 6], [0, 6, 7]], start=1):
        progress = judged(progress, start, float(mark), np.array(held, float), patience=2)
    assert progress.frozen.tolist() == [True, False, True]
    assert marks(progress.best) == [1, 4, 2], "member 0 was frozen after block 3, so its 0 in block 4 came too late"
    assert progress.net.biases[0][:, 0].tolist() == [3, 4, 4]


def test_a_member_without_held_out_trials_keeps_its_latest_weights(start):
    progress = Progress.start(start.members, start.opt_state)
    for mark, held in enumerate([[1, 1, np.nan], [2, 2, np.nan], [3, 3, np.nan]], start=1):
        progress = judged(progress, start, float(mark), np.array(held), has_held=(True, False, False), patience=2)
    assert marks(progress.best) == [1, 3, 3]
    assert progress.frozen.tolist() == [True, False, False]
    assert not progress.diverged.any()


def test_a_diverged_member_falls_back_and_sits_out(start):
    progress = judged(Progress.start(start.members, start.opt_state), start, 1.0, np.array([3.0, 3.0, 3.0]))
    progress = judged(progress, start, 2.0, np.array([2.0, np.nan, 2.0]))
    progress = judged(progress, start, 3.0, np.array([1.0, 1.0, 1.0]), loss=(1.0, 1.0, np.inf))
    assert progress.diverged.tolist() == [False, True, True]
    assert progress.frozen.tolist() == [False, True, True]
    assert marks(progress.best) == [3, 1, 2]
    poisoned = signed(start, 4.0)
    poisoned = eqx.tree_at(lambda m: m.net.weights[1], poisoned, poisoned.net.weights[1].at[0, 1, 2].set(jnp.nan))
    progress = progress.after_block(
        poisoned,
        start.opt_state,
        jnp.ones(3),
        jnp.zeros(3),
        has_held=jnp.ones(3, bool),
        step=jnp.asarray(4),
        patience=jnp.asarray(9),
    )
    assert progress.diverged.all()
    assert marks(progress.best) == [3, 1, 2]
    assert finite(progress.best)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["obs", "action", "next_obs"])
def test_rows_that_are_not_finite_are_left_out(field, value):
    """A last trial of which no row is finite changes nothing that is learned."""
    one, clean, data = learner(), recorded([30, 14], 64), recorded([30, 14, 5], 64)
    broken = getattr(data.transitions, field).at[44:49, 0].set(value)
    data = dataclasses.replace(data, transitions=dataclasses.replace(data.transitions, **{field: broken}))
    batches = {"min_steps": 20, "max_steps": 20}
    one, start = learner(minibatches=batches), jitted(one.init, KEY, TASK)
    state, report = FIT(one, TRAIN, start, data)
    assert not report.diverged.any()
    same(state, FIT(one, TRAIN, start, clean)[0])


def test_nothing_but_rows_that_are_not_finite_leaves_the_last_good_model():
    one, data = learner(), recorded([30, 14], 64)
    good, _ = FIT(one, KEY, jitted(one.init, KEY, TASK), data)
    none = dataclasses.replace(data.transitions, next_obs=jnp.full_like(data.transitions.next_obs, jnp.nan))
    state, report = FIT(one, TRAIN, good, dataclasses.replace(data, transitions=none))
    same(state, good)
    assert report.steps == 0


@pytest.mark.parametrize("trials", [[44], [30, 14]], ids=["nothing held out", "member 1 holds out trial 1"])
def test_a_rate_that_is_far_too_large_leaves_the_last_good_model(trials):
    one, data = learner(), recorded(trials, 64)
    good, _ = FIT(one, KEY, jitted(one.init, KEY, TASK), data)
    state, report = FIT(learner(learning_rate=LearningRate(1e36, 1e36)), TRAIN, good, data)
    assert report.diverged.all()
    same(state, good)


def test_one_broken_member_does_not_stop_the_others():
    one, data = learner(), recorded([30, 14], 64)
    start = jitted(one.init, KEY, TASK)
    huge = start.members.net.biases[1].at[1].set(1e30)  # its squared error overflows
    start = eqx.tree_at(lambda s: s.members.net.biases[1], start, huge)
    state, report = FIT(one, TRAIN, start, data)
    assert report.diverged.tolist() == [False, True, False]
    same(member(state.members, 1), member(start.members, 1))
    assert finite(state)
    for index in (0, 2):
        assert not np.allclose(state.members.net.weights[0][index], start.members.net.weights[0][index])


def test_no_data_leave_the_model_as_it_is():
    one = learner()
    good, _ = FIT(one, KEY, jitted(one.init, KEY, TASK), recorded([30, 14], 64))
    state, report = FIT(one, TRAIN, good, Dataset.empty(TASK, 64))
    same(state, good)
    assert report.steps == 0
    assert not report.diverged.any()
