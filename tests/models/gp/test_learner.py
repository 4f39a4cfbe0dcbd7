"""The learner: what it finds, what it compiles, and what bad data do to it."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fitting import CHANGE, KEY, NOISE, PUSH, TASK, TRAIN, finite, recorded
from handful.data.dataset import Dataset
from handful.errors import InputError
from handful.models.gp.kernels import Matern52
from handful.models.gp.learner import GPLearner, leave_one_out
from handful.models.gp.marginal_likelihood import Search
from handful.types import Transition
from models.gp.processes import GIVEN, covariance_of, rows_of
from probes import counted, jitted, same

FIT, TRACES = counted(lambda learner, key, state, data: learner.fit(key, state, data))
QUERIES = np.random.default_rng(6).normal(0.4, 1.0, (20, 3))
ROOM = 40


def learner(**settings):
    return GPLearner(**{"max_points": ROOM, "search": Search(steps=60, starts=2, scout_rows=20)} | settings)


def changed(data, **fields):
    return dataclasses.replace(data, transitions=dataclasses.replace(data.transitions, **fields))


def predicted(belief):
    obs, action = jnp.asarray(QUERIES[:, :2], jnp.float32), jnp.asarray(QUERIES[:, 2:], jnp.float32)
    return jax.device_get(jitted(lambda belief: jax.vmap(belief.predict)(obs, action), belief))


@pytest.fixture(scope="module")
def good():
    one = learner()
    return FIT(one, TRAIN, jitted(one.init, KEY, TASK), recorded([30, 6], 48))


def test_it_learns_the_system_and_knows_the_noise(good):
    """36 rows of a linear system. The noise's std, from some 30 degrees of freedom, is known to 13 %."""
    state, report = good
    assert not report.diverged.any()
    assert report.steps == 60
    prediction = predicted(state.belief)
    exact = QUERIES[:, :2] @ (np.eye(2) + CHANGE).T + QUERIES[:, 2:] * PUSH
    error = np.abs(prediction.mean - exact)
    np.testing.assert_array_less(error, 5 * np.sqrt(prediction.epistemic + 1e-4))
    assert (np.median(error, axis=0) < NOISE).all()  # some queries lie far outside the rows
    np.testing.assert_allclose(np.sqrt(prediction.aleatoric[0]), NOISE, rtol=0.5)


def test_one_compile_per_capacity():
    """Whatever the data, the hyperparameters and the state; and the belief has one shape before and after."""
    one = learner()
    FIT(one, KEY, jitted(one.init, KEY, TASK), recorded([30, 6], 48))
    before = TRACES.count
    state, _ = FIT(one, KEY, jitted(one.init, KEY, TASK), recorded([9], 48))
    state, _ = FIT(
        learner(search=Search(steps=7, learning_rate=0.03, starts=2, scout_rows=20)), TRAIN, state, recorded([48], 48)
    )
    assert TRACES.count == before
    shapes = lambda state: [leaf.shape for leaf in jax.tree.leaves(state)]
    assert shapes(state) == shapes(jitted(one.init, KEY, TASK))
    assert state.belief.posterior.count == ROOM


def test_no_rows_leave_the_prior():
    one = learner()
    start = jitted(one.init, KEY, TASK)
    state, report = FIT(one, TRAIN, start, Dataset.empty(TASK, 48))
    same(state, start)
    assert report.steps == 0
    assert not report.diverged.any()
    prediction = predicted(state.belief)
    np.testing.assert_allclose(prediction.mean, QUERIES[:, :2], rtol=1e-6)
    np.testing.assert_allclose(prediction.epistemic, 1.0, rtol=1e-5)


@pytest.mark.parametrize("field", ["obs", "action", "next_obs"])
def test_rows_that_are_not_finite_are_left_out(field):
    one, data = learner(), recorded([30, 6], 48)
    broken = changed(data, **{field: getattr(data.transitions, field).at[35, 0].set(jnp.nan)})
    state, report = FIT(one, TRAIN, jitted(one.init, KEY, TASK), broken)
    expected, _ = FIT(one, TRAIN, jitted(one.init, KEY, TASK), dataclasses.replace(data, count=jnp.asarray(35)))
    assert not report.diverged.any()
    assert state.belief.posterior.count == 35
    same(state, expected)


def bad_data():
    data = recorded([30, 6], 48)
    seen = data.transitions
    repeated = changed(
        data,
        **{f: jnp.broadcast_to(getattr(seen, f)[:1], getattr(seen, f).shape) for f in ("obs", "action", "next_obs")},
    )
    constant = changed(data, obs=seen.obs.at[:, 1].set(3.7), next_obs=seen.next_obs.at[:, 1].set(3.7))
    scales = jnp.array([1e-4, 1e4])
    return {
        "one row repeated": repeated,
        "each row twice": recorded([18], 48).add(
            jax.tree.map(lambda leaf: leaf[:18], recorded([18], 48).transitions), 1
        ),
        "a constant column": constant,
        "fewer rows than outputs": dataclasses.replace(data, count=jnp.asarray(1)),
        "outputs of scales 1e-4 and 1e4": changed(data, obs=seen.obs * scales, next_obs=seen.next_obs * scales),
        "no noise": changed(data, next_obs=1.1 * seen.obs),
    }


@pytest.mark.parametrize("name", list(bad_data()))
def test_bad_data_give_a_finite_belief(name):
    one = learner()
    state, report = FIT(one, TRAIN, jitted(one.init, KEY, TASK), bad_data()[name])
    assert not report.diverged.any()
    assert finite(state)
    assert state.belief.posterior.count > 0
    prediction = predicted(state.belief)
    assert finite(prediction)
    assert (np.asarray(prediction.aleatoric) > 0).all()
    answers = lambda belief: eqx.filter_vmap(lambda w: w.predict(jnp.ones(2), jnp.ones(1)))(belief.worlds(KEY, 2))
    assert finite(jitted(answers, state.belief))


def test_scales_of_outputs_do_not_matter():
    """Standardised, outputs a hundred million apart are the same numbers, to float32."""
    one, data = learner(), recorded([30, 6], 48)
    scales = jnp.array([2.0**-13, 2.0**13])
    scaled = changed(data, obs=data.transitions.obs * scales, next_obs=data.transitions.next_obs * scales)
    plain, other = (FIT(one, TRAIN, jitted(one.init, KEY, TASK), d)[1] for d in (data, scaled))
    np.testing.assert_allclose(plain.loss, other.loss, atol=1e-3)


def test_numbers_that_overflow_leave_the_last_good_state(good):
    state, _ = good
    data = recorded([30, 6], 48)
    huge = changed(data, next_obs=data.transitions.next_obs.at[3, 1].set(3e38))
    kept, report = FIT(learner(), TRAIN, state, huge)
    same(kept, state)
    assert report.diverged.any()


def test_past_max_points_a_subset_is_kept_and_predicts():
    one, data = learner(), recorded([48], 48)
    state, _ = FIT(one, TRAIN, jitted(one.init, KEY, TASK), data)
    assert state.belief.posterior.count == ROOM
    inputs = state.belief.posterior.inputs
    assert len(np.unique(np.asarray(inputs), axis=0)) == ROOM


def test_rows_appended_between_fits_move_the_belief(good):
    """Towards the new rows, with less epistemic variance there; rows beyond the capacity or not finite are left out."""
    state, _ = good
    one = learner()
    obs = jnp.array([[4.0, -3.0], [jnp.nan, 1.0], [4.1, -3.2], [3.9, -2.9], [4.2, -3.1], [4.0, -3.3]])
    action = jnp.full((6, 1), 1.4)
    no = jnp.zeros(6, bool)
    rows = Transition(obs, action, jnp.ones(6), obs + 2.5, no, no)
    more = jitted(one.append, state, rows)
    assert state.belief.posterior.count == 36
    assert more.belief.posterior.count == ROOM  # four of the five that are finite
    before, after = (jax.device_get(jitted(s.belief.predict, obs[0], action[0])) for s in (state, more))
    assert (np.abs(after.mean - obs[0] - 2.5) < 0.5 * np.abs(before.mean - obs[0] - 2.5)).all()
    assert (after.epistemic < 0.5 * before.epistemic).all()


def test_a_better_start_is_never_lost(good):
    """With no steps to take, a fit on the same data keeps what the last one found."""
    state, report = good
    again, second = FIT(learner(search=Search(steps=1, starts=2, scout_rows=20)), KEY, state, recorded([30, 6], 48))
    assert (second.loss <= report.loss + 1e-3).all()  # rounding of the sum over 36 rows
    np.testing.assert_allclose(predicted(again.belief).mean, predicted(state.belief).mean, atol=1e-3)


def test_leave_one_out_against_brute_force(kernel):
    covariance, (inputs, targets) = covariance_of(kernel, jnp.float32), rows_of(12, jnp.float32)
    mask = np.float32(np.arange(12) != 5)
    diagonal = np.asarray(jitted(jax.vmap(lambda c: c.diagonal), covariance))
    each = []
    for row in np.flatnonzero(mask):
        rest = GIVEN(covariance, inputs, targets, jnp.asarray(mask * (np.arange(12) != row), jnp.float32))
        mean, variance = jax.device_get(jitted(rest.mean_and_variance, inputs[row]))
        total = variance + diagonal
        each.append((np.asarray(targets)[row] - mean) ** 2 / total + np.log(total))
    ours = jitted(leave_one_out, GIVEN(covariance, inputs, targets, jnp.asarray(mask)))
    np.testing.assert_allclose(ours, np.mean(each, axis=0), rtol=1e-3)


def test_the_other_kernel_fits_too():
    one = learner(kernel=Matern52)
    state, report = FIT(one, TRAIN, jitted(one.init, KEY, TASK), recorded([30, 6], 48))
    assert not report.diverged.any()
    assert isinstance(one.model(state).posterior.covariance.kernel, Matern52)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GPLearner(max_points=0), "max_points must be at least 1, got 0"),
        (lambda: GPLearner(world_features=7), "even number, at least 2, got 7"),
        (lambda: Search(starts=0), "at least one start .* got starts=0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
