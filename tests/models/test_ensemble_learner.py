"""The ensemble's learner: whose data, which loss, how long, which weights, and what if it goes wrong."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fitting import CHANGE, FIT, KEY, MEMBERS, NOISE, PUSH, TASK, TRAIN, learner, member, recorded
from handful.data.dataset import Dataset
from handful.errors import InputError
from handful.models.ensemble import NetworkWorld
from handful.models.ensemble_learner import EnsembleLearner, LearningRate, Minibatches, Noise
from handful.models.member_training import Passes, nll
from handful.models.networks import GaussianNet
from probes import counted, jitted


def own_rows(one, key, data):
    drawn = lambda one, key, data: one._training_rows(key, data.mask() & ~one._held(data.trial, data.mask()))
    return jax.device_get(jitted(drawn, one, key, data))


def test_each_member_trains_on_its_own_rows_throughout_a_fit():
    """Which rows a member trains on is reported by which rows' targets its Adam moments depend on, to the last bit.

    500 steps of 4 draws would touch each of 15 rows if the bootstrap were drawn again on the way; drawn once, a member
    misses 1/e of its rows. A held-out row never matters to the training of its member.
    """
    batches = {"batch_size": 4, "epochs": 150.0, "patience": 10_000}
    one = learner(scale_targets=False, minibatches=batches)
    data = recorded([4, 3, 3, 2, 3], 18)
    state = jitted(one.init, KEY, TASK)

    def moments(row):
        moved = data.transitions.next_obs.at[row].add(0.7)  # row 17 is padding: no row moves
        changed = dataclasses.replace(data, transitions=dataclasses.replace(data.transitions, next_obs=moved))
        return one.fit(TRAIN, state, changed)[0].opt_state.mu.weights[0]

    moments = np.asarray(jax.jit(jax.vmap(moments))(jnp.array([*range(15), 17])))
    trained = (moments[:15] != moments[15]).any((2, 3)).T  # [member row]
    held = np.asarray(data.trial[:15]) % MEMBERS == np.arange(MEMBERS)[:, None]
    held &= np.asarray(data.trial[:15]) >= 1
    assert held.sum(1).tolist() == [2, 3 + 3, 3]  # trial 3; trials 1 and 4; trial 2
    assert not (trained & held).any()
    for index in range(MEMBERS):
        assert 2 <= (~trained & ~held)[index].sum() <= 8
    assert len({tuple(row) for row in trained}) == MEMBERS
    rows, counts = own_rows(one, jax.random.split(TRAIN, 3)[0], data)
    for index in range(MEMBERS):
        assert counts[index] == (~held)[index].sum()  # N of N
        np.testing.assert_array_equal(np.unique(rows[index, : counts[index]]), np.flatnonzero(trained[index]))


def test_each_member_has_a_bootstrap_draw_of_its_own():
    """Without held-out trials, as PETS has it: nothing but the draw tells the members apart."""
    one = learner(minibatches={"holdout": False})
    rows, counts = own_rows(one, KEY, recorded([4, 3, 3, 2, 3], 18))
    np.testing.assert_array_equal(counts, 15)  # N of N
    drawn = np.sort(rows[:, :15])
    assert drawn.min() >= 0
    assert drawn.max() < 15
    assert len({tuple(row) for row in drawn}) == MEMBERS
    for row in drawn:
        assert 4 <= len(set(row)) <= 13, "with replacement"


@pytest.mark.parametrize(("counts", "size"), [((7, 5, 11), 4), ((7, 5, 11), 5), ((3, 4, 6), 3)])
def test_shuffled_passes_meet_each_row_once_in_each(counts, size):
    """Along the whole stream of batches, of which a pass may end anywhere in one; and each pass has its own order."""
    steps = 12
    passes = Passes.of(jax.random.split(KEY, 3), jnp.array(counts), 12, jnp.asarray(0))
    stream = []
    for place in jnp.arange(steps) * size:
        passes = passes.at(place)
        stream.append(np.asarray(passes.picks(place, size)))
    for picks, count in zip(np.concatenate(stream, axis=1), counts, strict=True):
        whole = picks[: steps * size // count * count].reshape(-1, count)
        np.testing.assert_array_equal(np.sort(whole), np.tile(np.arange(count), (len(whole), 1)))
        assert len({tuple(each) for each in whole}) > 1


def test_a_shuffled_pass_trains_on_every_row():
    """One pass in batches of 4, by which rows' targets Adam's moments depend on; drawn with replacement, a member
    misses one row in e.
    """
    one = learner(
        scale_targets=False,
        minibatches={"batch_size": 4, "epochs": 1.0, "bootstrap": False, "holdout": False, "shuffled": True},
    )
    data = recorded([12], 13)
    state = jitted(one.init, KEY, TASK)

    def moments(row):
        moved = data.transitions.next_obs.at[row].add(0.7)  # row 12 is padding: no row moves
        changed = dataclasses.replace(data, transitions=dataclasses.replace(data.transitions, next_obs=moved))
        return one.fit(TRAIN, state, changed)[0].opt_state.mu.weights[0]

    moments = np.asarray(jax.jit(jax.vmap(moments))(jnp.arange(13)))
    assert (moments[:12] != moments[12]).any((2, 3)).all()


def test_without_a_bootstrap_members_train_on_all_their_rows():
    data = recorded([4, 3, 3, 2, 3], 18)
    one = learner(minibatches={"bootstrap": False})
    rows, counts = own_rows(one, KEY, data)
    for index in range(MEMBERS):
        held = (np.asarray(data.trial) >= 1) & (np.asarray(data.trial) % MEMBERS == index)
        own = np.flatnonzero(~held[:15])
        np.testing.assert_array_equal(np.sort(rows[index, : counts[index]]), own)
    every = learner(minibatches={"bootstrap": False, "holdout": False})
    rows, counts = own_rows(every, KEY, data)
    np.testing.assert_array_equal(counts, 15)
    np.testing.assert_array_equal(rows[:, :15], np.tile(np.arange(15), (3, 1)))
    held = learner(members=1)._held(data.trial, data.mask())
    assert not held.any(), "a single member has no other to learn what it holds out"


@pytest.mark.parametrize(("numbers", "held"), [([1], [0, 0, 0]), ([3, 6], [0, 4, 0]), ([2, 5, 9], [0, 4, 4])])
def test_trials_are_counted_and_not_their_numbers(numbers, held):
    """A log may number its trials as it likes: the first trains every member, and none is left without rows."""
    data = Dataset.empty(TASK, 16)
    rows = jax.tree.map(lambda leaf: leaf[:4], recorded([4], 16).transitions)
    for number in numbers:
        data = data.add(rows, trial=number)
    assert learner()._held(data.trial, data.mask()).sum(1).tolist() == held


@pytest.mark.parametrize("learn_bounds", [True, False])
def test_loss_and_its_gradient_against_numpy(learn_bounds):
    """The gradient by the last biases in closed form: the beta weight is a constant to it."""
    rng = np.random.default_rng(3)
    net = jitted(GaussianNet.init, KEY, (3, 8, 2), (-1.5, 0.8))
    net = dataclasses.replace(net, biases=tuple(jnp.asarray(rng.normal(size=b.shape), jnp.float32) for b in net.biases))
    decay, power = np.array([0.03, 0.07]), 0.35
    one = learner(weight_decay=jnp.array(decay, jnp.float32), noise=Noise(learned=learn_bounds, beta=power))
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    batch = tuple(jnp.asarray(value, jnp.float32) for value in (x, y))
    value, gradient = jitted(eqx.filter_value_and_grad(one._loss), net, batch)

    (w0, w1), (b0, b1) = ([np.asarray(leaf, float) for leaf in leaves] for leaves in (net.weights, net.biases))
    hidden = x @ w0 + b0
    out = hidden / (1 + np.exp(-hidden)) @ w1 + b1
    mean, raw = out[:, :2], out[:, 2:]
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    below = 0.8 - np.log1p(np.exp(0.8 - raw))
    log_var = -1.5 + np.log1p(np.exp(below + 1.5))
    weight = np.exp(power * log_var)
    error = mean - y
    expected = (weight * (error**2 * np.exp(-log_var) + log_var)).mean()
    expected += sum(d * (w**2).sum() / 2 for d, w in zip(decay, (w0, w1), strict=True))
    if learn_bounds:
        expected += 0.01 * (2 * 0.8 + 2 * 1.5)
    np.testing.assert_allclose(value, expected, rtol=1e-5)

    by_log_var = weight * (1 - error**2 * np.exp(-log_var)) / 10
    by_mean = (weight * 2 * error * np.exp(-log_var)).sum(0) / 10
    by_raw = (by_log_var * sigmoid(below + 1.5) * sigmoid(0.8 - raw)).sum(0)
    np.testing.assert_allclose(gradient.biases[1], [*by_mean, *by_raw], rtol=1e-4, atol=1e-6)
    by_upper = (by_log_var * sigmoid(below + 1.5) * sigmoid(raw - 0.8)).sum(0) + 0.01
    by_lower = (by_log_var * sigmoid(-1.5 - below)).sum(0) - 0.01
    np.testing.assert_allclose(gradient.log_var_upper, learn_bounds * by_upper, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient.log_var_lower, learn_bounds * by_lower, rtol=1e-4, atol=1e-6)


def test_shared_bounds_follow_the_summed_losses_of_all_members():
    """As the gradient of one loss over all members, whose penalty of the bounds counts once; all else is unchanged."""
    one = learner(noise=Noise(shared=True, beta=0.0), minibatches={"holdout": False})
    nets = jax.vmap(lambda key: GaussianNet.init(key, (3, 8, 2), (-1.5, 0.8)))(jax.random.split(KEY, MEMBERS))
    rng = np.random.default_rng(6)
    batches = tuple(jnp.asarray(rng.normal(size=(MEMBERS, 5, size)), jnp.float32) for size in (3, 2))
    bounds = lambda net: (net.log_var_upper, net.log_var_lower)

    def summed(shared):
        each = jax.vmap(lambda net, batch: nll(eqx.tree_at(bounds, net, shared), batch))(nets, batches)
        return each.sum() + 0.01 * (shared[0].sum() - shared[1].sum())

    alone = jitted(jax.vmap(one.gradient), nets, batches)[1]
    joined = one.joined(alone)
    expected = jax.jit(jax.grad(summed))(tuple(bound[0] for bound in bounds(nets)))
    for ours, whole in zip(bounds(joined), expected, strict=True):
        np.testing.assert_allclose(ours, np.tile(whole, (MEMBERS, 1)), rtol=1e-4, atol=1e-6)
    for ours, before in zip(joined.weights + joined.biases, alone.weights + alone.biases, strict=True):
        np.testing.assert_array_equal(ours, before)
    broken = eqx.tree_at(lambda net: net.log_var_upper, alone, alone.log_var_upper.at[1].set(jnp.nan))
    others = np.asarray(alone.log_var_upper)[[0, 2]].sum(0)
    np.testing.assert_allclose(one.joined(broken).log_var_upper, np.tile(others, (MEMBERS, 1)), rtol=1e-5)
    assert learner().joined(alone) is alone


def test_members_that_share_bounds_leave_a_fit_with_the_same():
    one = learner(noise=Noise(-6.0, 0.25, shared=True), minibatches={"holdout": False, "epochs": 2.0})
    state, _ = FIT(one, KEY, jitted(one.init, KEY, TASK), recorded([30, 14], 64))
    for bound, start in ((state.members.net.log_var_upper, 0.25), (state.members.net.log_var_lower, -6.0)):
        np.testing.assert_array_equal(bound, np.tile(bound[:1], (MEMBERS, 1)))
        assert (bound != start).all()


def test_bounds_that_have_passed_each_other_pull_no_further():
    """Data alone move them then; pulled on, the upper one would fall fit by fit until its exponential overflows."""
    net = jitted(GaussianNet.init, KEY, (3, 8, 2), (-1.5, 0.8))
    net = dataclasses.replace(net, log_var_upper=jnp.array([0.8, -2.0]))
    batch = (jnp.ones((4, 3)), jnp.full((4, 2), 0.3))
    whole = jitted(eqx.filter_grad(learner()._loss), net, batch)
    data_alone = jitted(eqx.filter_grad(lambda net: nll(net, batch, learner().noise.beta)), net)
    pull = [getattr(whole, bound) - getattr(data_alone, bound) for bound in ("log_var_upper", "log_var_lower")]
    np.testing.assert_allclose(pull, [[0.01, 0.0], [-0.01, 0.0]], atol=1e-7)


def test_decay_alone_shrinks_each_layer_by_its_own_rate():
    net = jitted(GaussianNet.init, KEY, (3, 8, 2), (-1.5, 0.8))
    batch = (jnp.ones((4, 3)), jnp.full((4, 2), 0.3))
    with_decay, without = (
        jitted(eqx.filter_grad(learner(weight_decay=jnp.array(decay))._loss), net, batch)
        for decay in ([0.03, 0.07], [0.0, 0.0])
    )
    for layer, decay in enumerate([0.03, 0.07]):
        shrinking = with_decay.weights[layer] - without.weights[layer]
        np.testing.assert_allclose(shrinking, decay * net.weights[layer], rtol=1e-3, atol=1e-6)


def test_the_learning_rate_falls_by_half_a_cosine():
    rate = LearningRate(initial=0.02, final=0.004)
    done = jnp.array([0.0, 0.25, 0.5, 0.8, 1.0])
    expected = 0.012 + 0.008 * np.cos(np.pi * np.asarray(done))
    np.testing.assert_allclose(jax.vmap(rate)(done), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("epochs", "least", "most", "expected"),
    [(3.0, 0, 1000, 11), (0.3, 0, 1000, 2), (3.0, 40, 1000, 40), (7.5, 0, 11, 11), (3.4, 0, 1000, 13)],
)
def test_steps_are_passes_over_the_data_within_limits(epochs, least, most, expected):
    """58 rows in batches of 16. Ceiling of epochs x 58 / 16: 10.9, 1.1, 10.9, 27.2 and 12.3 before the limits."""
    batches = {"epochs": epochs, "min_steps": least, "max_steps": most}
    one = learner(minibatches=batches)
    assert one._step_count(jnp.asarray(58)) == expected
    assert one._step_count(jnp.asarray(0)) == 0
    _, report = FIT(one, KEY, jitted(one.init, KEY, TASK), recorded([58], 64))
    assert report.steps == expected


def test_the_first_step_moves_every_weight_by_the_rate_and_adam_goes_on_from_fit_to_fit():
    """Adam's first step has the size of the rate and the sign of the gradient."""
    one = learner(learning_rate=LearningRate(0.01, 0.01), minibatches={"max_steps": 1})
    start, data = jitted(one.init, KEY, TASK), recorded([58], 64)
    state, _ = FIT(one, TRAIN, start, data)
    for before, after in zip(start.members.net.weights, state.members.net.weights, strict=True):
        np.testing.assert_allclose(np.abs(after - before), 0.01, rtol=1e-2)  # Adam's epsilon, beside gradients > 1e-6
    np.testing.assert_array_equal(state.opt_state.count, 1)
    again, _ = FIT(learner(learning_rate=LearningRate(0.01, 0.01), minibatches={"max_steps": 7}), KEY, state, data)
    np.testing.assert_array_equal(again.opt_state.count, 8)
    for before, after in zip(state.members.net.weights, again.members.net.weights, strict=True):
        assert 0 < np.abs(after - before).max() < 0.1  # seven steps of at most about 0.01 each, from where it was


def test_one_trace_for_growing_data_new_rates_and_a_refit():
    fit, traces = counted(lambda learner, key, state, data: learner.fit(key, state, data))
    one = learner()
    state, data = jitted(one.init, KEY, TASK), recorded([10], 64)
    state, _ = fit(one, KEY, state, data)
    for trial, rows in enumerate([5, 8, 20], start=1):
        more = jax.tree.map(lambda leaf, rows=rows: leaf[:rows], recorded([20], 64, seed=trial).transitions)
        data = data.add(more, trial)
        state, report = fit(one, KEY, state, data)
    assert report.steps == np.ceil(5 * 43 / 16)
    changed = EnsembleLearner(
        hidden=(8,),
        weight_decay=jnp.array([0.2, 0.1]),
        learning_rate=LearningRate(1e-2, 1e-4),
        members=MEMBERS,
        noise=Noise(beta=0.0),
        minibatches=Minibatches(batch_size=16, epochs=2.0, min_steps=3, max_steps=900, patience=4),
    )
    other, report = fit(changed, KEY, state, data)
    assert report.steps == np.ceil(2 * 43 / 16)
    assert traces.count == 1
    assert not np.allclose(other.members.net.weights[0], state.members.net.weights[0])
    fit(one, KEY, state, data.grown(65))
    assert traces.count == 2


@pytest.fixture(scope="module")
def learned():
    """600 rows, 200 of them in trials 1 and 2; about 1100 steps."""
    one = learner(
        learning_rate=LearningRate(1e-2, 1e-4), minibatches={"batch_size": 32, "epochs": 60.0, "patience": 99}
    )
    state, report = FIT(one, KEY, jitted(one.init, KEY, TASK), recorded([400, 100, 100], 600))
    return one.model(state), report


def test_learns_a_linear_system_and_its_noise(learned):
    """Mean of the belief within a third of the noise (one std over 400 rows is a fifteenth; the rest is the nets'),
    std within 20 % (400 rows know it to 4 %), and epistemic std below the noise."""
    model, report = learned
    assert not report.diverged.any()
    rng = np.random.default_rng(9)
    obs, action = rng.normal(0.4, 0.9, (200, 2)), rng.uniform(-0.9, 1.4, (200, 1))
    prediction = jax.jit(jax.vmap(model.predict))(jnp.asarray(obs, jnp.float32), jnp.asarray(action, jnp.float32))
    truth = obs + obs @ CHANGE.T + action * PUSH
    error = np.sqrt(((prediction.mean - truth) ** 2).mean(0))
    assert (error < NOISE / 3).all(), error / NOISE
    np.testing.assert_allclose(np.sqrt(prediction.aleatoric).mean(0), NOISE, rtol=0.2)
    assert (np.sqrt(prediction.epistemic).mean(0) < NOISE / 2).all()
    assert (prediction.epistemic > 0).all()


def test_doubt_grows_away_from_the_data(learned):
    model, _ = learned
    near = model.predict(jnp.array([0.4, 0.3]), jnp.array([0.2]))
    far = model.predict(jnp.array([25.0, -19.0]), jnp.array([0.2]))
    assert (far.epistemic > 30 * near.epistemic).all()


def test_validation_is_the_likelihood_of_the_held_out_trials_by_the_weights_returned():
    """Trial 1 is one row over and over, so that the sample taken of it does not matter."""
    data = recorded([30, 14], 64)
    repeated = jax.tree.map(lambda leaf: leaf.at[30:44].set(leaf[30]), data.transitions)
    data = dataclasses.replace(data, transitions=repeated)
    one = learner()
    state, report = FIT(one, KEY, jitted(one.init, KEY, TASK), data)
    assert np.isnan(report.validation_nll).tolist() == [True, False, True]
    world = member(state.members, 1)
    row = member(data.transitions, 30)
    mean, var = world.net(world.input_scale(world.features.inputs(row.obs, row.action)))
    target = world.target_scale(row.next_obs - row.obs)
    expected = np.mean((target - mean) ** 2 / var + np.log(var))
    np.testing.assert_allclose(report.validation_nll[1], expected, rtol=1e-4, atol=1e-5)
    _, report = FIT(one, KEY, jitted(one.init, KEY, TASK), recorded([44], 64))
    assert np.isnan(report.validation_nll).all()


def test_bounds_move_only_where_they_are_learned():
    data = recorded([30, 14], 64)
    for learn_bounds in (True, False):
        one = learner(noise=Noise(-6.0, 0.25, learn_bounds))
        state, _ = FIT(one, KEY, jitted(one.init, KEY, TASK), data)
        net = state.members.net
        assert np.array_equal(net.log_var_upper, np.full((3, 2), 0.25, np.float32)) != learn_bounds
        assert np.array_equal(net.log_var_lower, np.full((3, 2), -6.0, np.float32)) != learn_bounds


def test_scales_are_those_of_all_data_and_members_start_apart():
    one, data = learner(), recorded([30, 14], 64)
    start = jitted(one.init, KEY, TASK)
    assert len(np.unique(start.members.net.weights[0][:, 0, 0])) == MEMBERS
    state, _ = FIT(one, KEY, start, data)
    rows = jax.tree.map(lambda leaf: np.asarray(leaf[:44], float), data.transitions)
    inputs = np.concatenate([rows.obs, rows.action], axis=1)
    for scale, values in ((state.members.input_scale, inputs), (state.members.target_scale, rows.next_obs - rows.obs)):
        np.testing.assert_allclose(scale.mean, np.tile(values.mean(0), (3, 1)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scale.std, np.tile(values.std(0), (3, 1)), rtol=1e-4)
    assert isinstance(one.model(state).members, NetworkWorld)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"1 hidden layers need 2 weight decays, got shape \(3,\)"):
        learner(weight_decay=jnp.ones(3))
    with pytest.raises(InputError, match="at least one member, got 0"):
        learner(members=0)
    with pytest.raises(InputError, match=r"with Noise\(shared=True\) give Minibatches\(holdout=False\)"):
        learner(noise=Noise(shared=True))


def test_nll_is_twice_the_negative_log_likelihood_less_its_constant():
    import scipy.stats

    net = jitted(GaussianNet.init, KEY, (3, 8, 2), (-1.5, 0.8))
    rng = np.random.default_rng(4)
    x, y = (jnp.asarray(rng.normal(size=(6, size)), jnp.float32) for size in (3, 2))
    mean, var = jax.vmap(net)(x)
    density = scipy.stats.norm.logpdf(y, mean, np.sqrt(var))
    np.testing.assert_allclose(nll(net, (x, y)), -2 * density.mean() - np.log(2 * np.pi), rtol=1e-5, atol=1e-6)
