"""A correction on top of physics: it mends what is missing near the data, and is gone far from them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fitting import finite
from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.errors import InputError
from handful.models.base import AbstractLearner, FitReport
from handful.models.ensemble_learner import EnsembleLearner, Minibatches
from handful.models.known import KnownDynamics
from handful.models.physics_laws import Acceleration
from handful.models.physics_learner import PhysicsLearner
from handful.models.physics_parameters import Parameter
from handful.models.residual import Residual, ResidualLearner
from handful.models.trust import Trust
from handful.types import Transition
from probes import at, close, counted, differ, jitted, same, shaken, signatures, task_of

KEY = jax.random.key(6)
FIT = eqx.filter_jit(lambda learner, state, data: learner.fit(KEY, state, data))
TASK = task_of(lambda obs, action, next_obs: -(next_obs[0] ** 2), 2, [-2.0], [1.5])
ROWS, CAPACITY, MEMBERS = 150, 160, 3
FAR_OBS, FAR_ACTION = jnp.array([14.0, -31.0]), jnp.array([1.1])


def frictionless(obs, action, parameters):
    return parameters["gain"] * action - parameters["spring"] * obs[:1]


def learner(**settings):
    declared = [Parameter("gain", 1.5, low=0.0, prior_std=0.4), Parameter("spring", 2.0, low=0.0, prior_std=0.4)]
    nets = EnsembleLearner(
        hidden=(12,),
        weight_decay=jnp.array([1e-5, 2e-5]),
        members=MEMBERS,
        minibatches=Minibatches(batch_size=32, epochs=200.0, min_steps=1000, holdout=False),
    )
    return ResidualLearner(PhysicsLearner(Acceleration(frictionless), declared), nets, **settings)


def steps(obs, action):
    """The truth: gain 2, spring 1.4, and friction that physics has no word for. Euler in 200 steps."""
    x, v = obs.T.astype(float)
    for _ in range(200):
        x, v = x + 0.0005 * v, v + 0.0005 * (2.0 * action[:, 0] - 1.4 * x - 3.0 * np.tanh(2 * v))
    return np.stack([x, v], axis=1)


def drawn(rows, seed):
    rng = np.random.default_rng(seed)
    obs, action = rng.uniform([-1.0, -1.5], [1.4, 1.2], (rows, 2)), rng.uniform(-2, 1.5, (rows, 1))
    return obs, action, steps(obs, action) + 0.002 * rng.normal(size=(rows, 2))


def dataset(obs, action, next_obs):
    obs, action, next_obs = (jnp.asarray(x, jnp.float32) for x in (obs, action, next_obs))
    no = jnp.zeros(obs.shape[0], bool)
    return Dataset.empty(TASK, CAPACITY).add(Transition(obs, action, no * 1.0, next_obs, no, no), 0)


@pytest.fixture(scope="module")
def start():
    return jitted(learner().init, KEY, TASK)


@pytest.fixture(scope="module")
def fitted(start):
    state, report = FIT(learner(), start, dataset(*drawn(ROWS, 1)))
    assert not report.diverged.any()
    assert report.diverged.shape == (MEMBERS,)
    return state


@pytest.fixture(scope="module")
def belief(fitted):
    return learner().model(fitted)


def test_near_the_data_it_mends_what_physics_lacks(belief):
    obs, action, next_obs = drawn(60, 2)
    obs, action = jnp.asarray(obs, jnp.float32), jnp.asarray(action, jnp.float32)
    rmse = [
        np.sqrt(
            np.mean(
                (jax.jit(jax.vmap(lambda o, a, model=model: model.predict(o, a)))(obs, action).mean - next_obs)[:, 1]
                ** 2
            )
        )
        for model in (belief, belief.base)
    ]
    assert rmse[0] < 0.25 * rmse[1]
    assert rmse[1] > 0.02, "physics alone cannot tell"


def test_far_from_the_data_it_is_the_physics(belief):
    """20 spacings away the trust is exp(-200): nothing in float32."""
    one, other = (jitted(model.predict, FAR_OBS, FAR_ACTION) for model in (belief, belief.base))
    same(one, other)
    sampled = jitted(belief.correction.predict, FAR_OBS, FAR_ACTION).mean - FAR_OBS
    assert np.abs(sampled).max() > 1e-2, "the correction itself would have said something"


def test_in_between_mean_and_variances_are_the_stated_blend(belief):
    obs, action = jnp.array([2.3, 2.4]), jnp.array([1.3])
    w = float(jitted(lambda b: b.trust(b.features.inputs(obs, action)), belief))
    assert 0.05 < w < 0.95
    predictions = (jitted(part.predict, obs, action) for part in (belief.base, belief.correction, belief))
    base, correction, found = jax.device_get(tuple(predictions))
    np.testing.assert_allclose(found.mean, base.mean + w * (correction.mean - obs), rtol=1e-5)
    np.testing.assert_allclose(found.aleatoric, (1 - w) * base.aleatoric + w * correction.aleatoric, rtol=1e-5)
    np.testing.assert_allclose(found.epistemic, base.epistemic + w**2 * correction.epistemic, rtol=1e-5)
    worlds = eqx.filter_jit(eqx.filter_vmap(lambda world: world.predict(obs, action)))(jitted(belief.worlds, KEY, 3000))
    # 3000 draws tell a variance to 2.6 %; the physics is linear here but for its log-normal parameters.
    np.testing.assert_allclose(np.var(worlds.mean, axis=0), found.epistemic, rtol=0.12)
    np.testing.assert_array_equal(worlds.epistemic, 0.0)
    np.testing.assert_allclose(np.mean(worlds.aleatoric, axis=0), found.aleatoric, rtol=1e-4)


def test_worlds_pair_fresh_physics_with_members_in_turn(belief):
    assert belief.world_count is None
    worlds = jitted(belief.worlds, KEY, 7)
    biases = np.asarray(worlds.correction.net.biases[-1])
    times = np.unique(biases, axis=0, return_counts=True)[1]
    assert sorted(times) == [2, 2, 3]
    assert len(np.unique(worlds.base.values[:, 0])) == 7


def test_worlds_of_two_ensembles_meet_every_pair():
    trust = Trust.zero(3, 4)
    pair = Residual(signatures([0.1, 0.2]), signatures([0.3, 0.5, 0.9]), trust, Features(2, 1, (), ()))
    assert pair.world_count == 6
    worlds = jitted(pair.worlds, KEY, 6)
    pairs = zip(*(np.asarray(w.net.biases[-1])[:, 0] for w in (worlds.base, worlds.correction)), strict=True)
    assert len({tuple(np.round(pair, 3)) for pair in pairs}) == 6
    world = at(worlds, 4)
    assert world.world_count == 1


def test_calls_keep_the_contract(belief):
    obs, action = jnp.array([2.0, 1.9]), jnp.array([1.2])
    world = at(jitted(belief.worlds, KEY, 3), 1)
    many, pushes = obs + jnp.linspace(-0.4, 0.7, 8).reshape(4, 2), action + jnp.linspace(-0.5, 0.3, 4)[:, None]
    keys = jax.random.split(KEY, 4)
    for model in (belief, world):
        for call in (lambda m, k, o, a: m.predict(o, a), lambda m, k, o, a: m.sample(k, o, a)):
            compiled, traces = counted(eqx.filter_vmap(call, in_axes=(None, 0, 0, 0)))
            single = eqx.filter_jit(call)
            batched = compiled(model, keys, many, pushes)
            for index in range(4):
                one = single(model, keys[index], many[index], pushes[index])
                close(jax.tree.map(lambda leaf, index=index: leaf[index], batched), one)
            assert differ(batched, compiled(shaken(model), keys, many, pushes))
            assert traces.count == 1
        total = lambda m: sum(jnp.sum(x) for x in jax.tree.leaves(m.predict(obs, action)))
        gradient = eqx.filter_jit(eqx.filter_grad(total))(model)
        assert finite(gradient)
        numbers = [leaf for leaf in jax.tree.leaves(model) if eqx.is_array(leaf)]
        assert all(eqx.is_inexact_array(leaf) and not leaf.weak_type for leaf in numbers)
    samples = jax.jit(jax.vmap(lambda key: belief.sample(key, obs, action)))(jax.random.split(KEY, 3000))
    prediction = jitted(belief.predict, obs, action)
    # A mixture of three members, whose variance 3000 draws tell to about 3 %.
    np.testing.assert_allclose(np.var(samples, axis=0), prediction.aleatoric + prediction.epistemic, rtol=0.15)


def test_a_refit_compiles_nothing_and_its_state_is_real(start):
    compiled, traces = counted(lambda learner, state, data: learner.fit(KEY, state, data))
    first, _ = compiled(learner(), start, dataset(*drawn(40, 3)))
    again, _ = compiled(learner(reach=2.0), first, dataset(*drawn(90, 4)))
    assert traces.count == 1
    assert differ(first, again)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(again))


def test_no_rows_and_rows_that_are_not_finite(start, fitted):
    empty, report = FIT(learner(), start, Dataset.empty(TASK, CAPACITY))
    assert finite(empty)
    assert not report.diverged.any()
    obs, action = jnp.array([0.3, -0.4]), jnp.array([0.7])
    model = learner().model(empty)
    same(jitted(model.predict, obs, action), jitted(model.base.predict, obs, action))

    rows = drawn(ROWS, 1)
    rows[0][3, 1], rows[2][7, 0] = np.nan, np.inf
    state, report = FIT(learner(), start, dataset(*rows))
    assert finite(state)
    assert not report.diverged.any()
    one, other = (jitted(learner().model(s).predict, obs, action).mean for s in (state, fitted))
    np.testing.assert_allclose(one, other, atol=0.05)  # two rows of 150 are missing


class Recorder(AbstractLearner):
    """Learns nothing; its state is the dataset that it was given."""

    capacity: int = 6

    def init(self, key, task):
        return Dataset.empty(task, self.capacity)

    def update(self, key, state, data):
        nothing = jnp.zeros(1)
        return data, FitReport(nothing, nothing, jnp.zeros((), int), jnp.zeros(1, bool))

    def model(self, state):
        return KnownDynamics(lambda obs, action: obs)


class Doubler(AbstractLearner):
    """A base that says `2 obs`; it has nothing to learn and says that it failed."""

    def init(self, key, task):
        return jnp.zeros(1)

    def update(self, key, state, data):
        nothing = jnp.zeros(2)
        return state, FitReport(nothing, nothing, jnp.zeros((), int), jnp.array([False, True]))

    def model(self, state):
        return KnownDynamics(lambda obs, action: 2 * obs)


def test_the_correction_is_given_the_bases_errors_and_only_finite_rows():
    """The first entry is an angle, the last one memoryless: errors turn the short way, or stand alone."""
    task = task_of(lambda obs, action, next_obs: obs[0], 3, [-1.0], [1.0], angles=(0,), memoryless=(2,))
    obs = np.array([[0.5, 0.3, 9.0], [1.1, np.nan, 8.0], [2.9, -0.7, 7.0], [0.2, 0.4, 6.0]])
    error = np.array([[0.3, -0.2, 0.7], [0.1, 0.1, 0.1], [-0.4, 0.6, -1.1], [0.2, 0.8, 0.5]])
    next_obs = 2 * obs + error + [2 * np.pi, 0.0, 0.0]
    no = jnp.zeros(4, bool)
    rows = Transition(jnp.asarray(obs), jnp.full((4, 1), 0.3), jnp.arange(4.0), jnp.asarray(next_obs), no, no)
    data = Dataset.empty(task, 6).add(rows, trial=2)
    both = ResidualLearner(Doubler(), Recorder(), anchors=3)
    state, report = jitted(both.fit, KEY, both.init(KEY, task), data)
    given, kept = state.correction, [0, 2, 3]
    assert int(given.count) == 3
    np.testing.assert_array_equal(given.trial, [2, 2, 2, -1, -1, -1])
    np.testing.assert_array_equal(given.transitions.reward, [0, 2, 3, 0, 0, 0])
    np.testing.assert_allclose(np.asarray(given.transitions.obs)[:3], obs[kept], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(given.transitions.next_obs)[:3], (obs * [1, 1, 0] + error)[kept], atol=2e-6)
    np.testing.assert_array_equal(np.asarray(given.transitions.next_obs)[3:], 0.0)
    assert report.diverged.tolist() == [True], "the base's failure is told"


class Failing(Recorder):
    """Recorder, whose fit has failed in one of its parts."""

    def update(self, key, state, data):
        nothing = jnp.zeros(2)
        return state, FitReport(nothing, nothing, jnp.zeros((), int), jnp.array([False, True]))


def test_a_correction_whose_fit_failed_is_trusted_no_further_than_before():
    data = dataset(*drawn(ROWS, 1))
    for learned, wanted in ((Recorder(CAPACITY), 1.0), (Failing(CAPACITY), 0.0)):
        both = ResidualLearner(Doubler(), learned, anchors=3)
        state, report = jitted(both.fit, KEY, both.init(KEY, TASK), data)
        assert state.trust.maximum == wanted
        assert report.diverged.any(), "the base's failure is reported"


def fit_trust(points, valid, anchors, reach):
    fit = lambda points, valid, reach: Trust.fit(points, valid, anchors=anchors, reach=reach)
    return jitted(fit, points, valid, jnp.asarray(reach))


def test_a_row_that_counts_for_nothing_is_no_anchor():
    points, valid = jnp.array([[50.0, 50.0], [1.0, 2.0], [3.0, 5.0]]), jnp.array([False, True, True])
    trust = fit_trust(points, valid, 5, 1.0)
    np.testing.assert_allclose(np.unique(np.abs(trust.anchors), axis=0), [[1.0, 1.0]], rtol=1e-6)


def test_trust_is_whole_on_every_row_and_falls_as_stated():
    rng = np.random.default_rng(2)
    points = rng.normal([0.5, -3.0, 10.0], [1.0, 0.2, 7.0], (70, 3))
    valid = np.arange(70) < 57
    trust = fit_trust(jnp.asarray(points), jnp.asarray(valid), 11, 0.8)
    np.testing.assert_array_equal(jitted(jax.vmap(trust), jnp.asarray(points[:57])), 1.0)

    # A second implementation of greedy selection, in NumPy.
    scaled = (points[:57] - points[:57].mean(0)) / points[:57].std(0)
    chosen, gaps = [0], []
    for _ in range(10):
        nearest = np.linalg.norm(scaled[:, None] - scaled[chosen], axis=2).min(1)
        chosen.append(int(nearest.argmax()))
        gaps.append(nearest.max())
    np.testing.assert_allclose(trust.anchors, scaled[chosen], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(trust.spacing, np.median(gaps), rtol=1e-4)
    away = points[4] + np.array([2.0, -0.9, 8.0])
    distance = np.linalg.norm((away - points[:57].mean(0)) / points[:57].std(0) - scaled[chosen], axis=1).min()
    expected = np.exp(-(((distance - np.median(gaps)) / (0.8 * np.median(gaps))) ** 2) / 2)
    assert 1e-3 < expected < 0.9
    np.testing.assert_allclose(jitted(trust, jnp.asarray(away)), expected, rtol=1e-3)


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_trust_with_few_repeated_and_constant_rows(rows):
    points = np.float32(np.repeat([[0.7, 3.0], [1.9, 3.0]], [3, 2], axis=0)[:rows].reshape(-1, 2))
    padded = jnp.asarray(np.concatenate([points, np.full((6 - rows, 2), np.nan, np.float32)]))
    trust = fit_trust(padded, jnp.asarray(np.arange(6) < rows), 4, 1.0)
    assert finite(trust)
    everywhere = jnp.asarray(np.concatenate([np.float32([[60.0, -90.0], [0.7, 3.0]]), points]))
    far, first, *others = np.asarray(jitted(jax.vmap(trust), everywhere))
    np.testing.assert_array_equal(others, 1.0)
    assert far == 0
    assert (first == 0) == (rows == 0)


def test_too_few_anchors_are_told():
    with pytest.raises(InputError, match="at least 2 anchors"):
        learner(anchors=1)


@pytest.mark.parametrize("reach", [0.0, -1.0, np.nan])
def test_a_reach_that_reaches_nowhere_is_told(reach):
    with pytest.raises(InputError, match="reach must be finite and above 0"):
        ResidualLearner(Doubler(), Recorder(), reach=reach)
