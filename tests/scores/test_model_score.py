"""Scores of beliefs whose answers are known: a linear system with Gaussian noise, and ensembles that believe in it."""

from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from handful.errors import InputError
from handful.models.base import AbstractDynamics
from handful.models.known import KnownDynamics
from handful.models.recalibrated import Recalibrated
from handful.scores import model_score
from handful.scores.model_score import (
    forecasts,
    one_step_predictions,
    one_step_score,
    recalibrate,
    rollout_score,
)
from handful.scores.windows import cut, longest, unbroken
from handful.types import Prediction, Transition
from probes import linear_ensemble

KEY = jax.random.key(5)
CHANGE, PUSH, NOISE = np.array([[-0.2, 0.1], [0.3, -0.4]]), np.array([[0.5], [-0.9]]), np.array([0.2, 0.5])


def trials_of(count, steps, seed=1, noise=NOISE):
    """`count` trials of the system `obs + CHANGE obs + PUSH action + noise`, numbered from 3 on."""
    rng = np.random.default_rng(seed)
    obs = rng.normal(0.5, 1.2, (count, 2))
    rows = []
    for _ in range(steps):
        action = rng.uniform(-1, 1.5, (count, 1))
        following = obs + obs @ CHANGE.T + action @ PUSH.T + noise * rng.normal(size=obs.shape)
        rows.append((obs, action, following))
        obs = following
    return {3 + which: transitions(*(np.stack([row[part][which] for row in rows]) for part in range(3)))
            for which in range(count)}  # fmt: skip


def transitions(obs, action, next_obs):
    obs, action, next_obs = (jnp.asarray(x, jnp.float32) for x in (obs, action, next_obs))
    no = jnp.zeros(len(obs), bool)
    return Transition(obs, action, jnp.zeros(len(obs)), next_obs, no, no)


def believed(noise, offsets=((0.0, 0.0),)):
    """An ensemble that knows the system but for an offset, and believes in noise of that std."""
    m = len(offsets)
    return linear_ensemble(np.tile(CHANGE, (m, 1, 1)), np.tile(PUSH, (m, 1, 1)), offsets,
                           np.tile(2 * np.log(np.asarray(noise)), (m, 1)))  # fmt: skip


class Bursting(AbstractDynamics):
    """A random walk that is no number any more once it is far out."""

    far: jax.Array

    @property
    def world_count(self):
        return 1

    def predict(self, obs, action):
        return Prediction(jnp.where(jnp.abs(obs) > self.far, jnp.nan, obs), 0.01 + 0 * obs, 0 * obs)

    def worlds(self, key, count):
        return Bursting(jnp.broadcast_to(self.far, (count,)))

    def sample(self, key, obs, action):
        return self.predict(obs, action).mean + 0.1 * jax.random.normal(key, obs.shape)


def test_one_step_scores_are_those_of_the_formulas():
    trials, offsets = trials_of(2, 30), np.array([[0.1, -0.3], [-0.2, 0.4], [0.3, 0.2]])
    score = one_step_score(KEY, believed(NOISE, offsets), trials)
    obs, action, following = (np.concatenate([np.asarray(getattr(t, n), float) for t in trials.values()])
                              for n in ("obs", "action", "next_obs"))  # fmt: skip
    mean = (obs + obs @ CHANGE.T + action @ PUSH.T) + offsets[:, None]
    change = following - obs
    scale = change.std(0)
    error = (following - mean.mean(0)) / scale
    total = (NOISE**2 + offsets.var(0)) / scale**2
    density = scipy.stats.norm.pdf((following - mean) / scale, 0, NOISE / scale).mean(0)
    pit = scipy.stats.norm.cdf(following, mean, NOISE).mean(0)
    expected = {
        "nrmse": np.sqrt((error**2).mean(0)),
        "r2": 1 - ((error * scale) ** 2).sum(0) / (change**2).sum(0),
        "nll": -np.log(density).mean(0),
        "nll_matched": -scipy.stats.norm.logpdf(error, 0, np.sqrt(total)).mean(0),
        "skill": 0.5 * np.log(2 * np.pi * np.e) + np.log(density).mean(0),
        "sharpness": np.sqrt(total),
        "aleatoric": NOISE / scale,
        "epistemic": offsets.std(0) / scale,
        "spread_skill": np.sqrt(total) / np.sqrt((error**2).mean(0)),
        "pit": pit,
        "coverage": np.stack([(np.abs(pit - 0.5) <= level / 2).mean(0) for level in (0.5, 0.9, 0.95)]),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(score, name), value, rtol=2e-4, atol=2e-5, err_msg=name)


def test_one_step_scores_of_an_angle_take_the_shorter_way():
    """The same trial, once wound at half a turn as sensors do and once not, scores the same."""
    angle = np.linspace(2.0, 9.0, 29) + 0.3 * np.sin(np.arange(29) ** 2)
    wound = np.mod(angle + np.pi, 2 * np.pi) - np.pi
    assert np.abs(np.diff(wound)).max() > 5
    model = KnownDynamics(lambda obs, action: obs + jnp.array([0.25, 0.1]))
    found = []
    for each in (angle, wound):
        obs = np.stack([each, 0.1 * np.arange(29) ** 1.1], 1)
        trials = {4: transitions(obs[:-1], np.ones((28, 1)), obs[1:])}
        score = one_step_score(KEY, model, trials, angles=(0,))
        windows = cut(trials, 6, angles=(0,))
        far = rollout_score(forecasts(KEY, model, windows, angles=(0,), particles=2), windows)
        found.append((score.nrmse, score.r2, far.nrmse))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)
    assert found[0][0][0] < 1.01


def test_windows_lie_in_one_trial_and_cross_no_gap():
    trials = trials_of(2, 9)
    broken = jax.tree.map(lambda leaf: jnp.delete(leaf, 4, axis=0), trials[4])
    windows = cut({3: trials[3], 4: broken}, 4)
    assert windows.horizon == 4
    obs = np.concatenate([trials[3].obs[:6], trials[4].obs[np.array([0, 5])]])  # 9 steps hold 6 starts, 4 steps one
    np.testing.assert_allclose(windows.obs, obs, rtol=1e-6)
    np.testing.assert_allclose(windows.truth[6], trials[4].next_obs[:4], rtol=1e-6)
    np.testing.assert_allclose(windows.actions[7], trials[4].action[5:9], rtol=1e-6)
    changes = windows.truth - windows.obs[:, None]
    np.testing.assert_allclose(windows.scale, np.std(changes, 0), rtol=1e-5)
    assert longest({4: broken}) == 4
    assert [len(actions) for _, actions in unbroken(broken)] == [4, 4]
    assert cut(trials, 4, starts=5).obs.shape == (5, 2)
    np.testing.assert_array_equal(cut(trials, 4, starts=2).obs[1], trials[4].obs[5])


@pytest.mark.parametrize("horizon", [0, 10])
def test_trials_that_are_too_short_are_refused(horizon):
    with pytest.raises(InputError, match=r"at least \d+ unbroken steps, and the longest has 9"):
        cut(trials_of(2, 9), horizon)


def test_a_constant_entry_has_a_scale():
    obs = np.stack([np.cumsum(np.arange(8.0)), np.full(8, 3.0)], 1)
    trials = {0: transitions(obs[:-1], np.ones((7, 1)), obs[1:])}
    windows = cut(trials, 2)
    np.testing.assert_array_equal(windows.scale[:, 1], 1)
    model = KnownDynamics(lambda obs, action: obs + 0.5)
    assert np.isfinite(one_step_score(KEY, model, trials).nrmse).all()
    assert np.isfinite(rollout_score(forecasts(KEY, model, windows), windows).nrmse).all()


def test_a_clock_is_constant_in_every_score():
    obs = np.stack([100 + 0.05 * np.arange(20), np.arange(20.0) ** 1.5], 1).astype(np.float32)
    trials = {0: transitions(obs[:-1], np.ones((19, 1)), obs[1:])}
    assert np.std(obs[1:, 0] - obs[:-1, 0]) > 1e-6
    np.testing.assert_array_equal(cut(trials, 4).scale[:, 0], 1)
    late = KnownDynamics(lambda obs, action: obs + jnp.array([0.051, 5.0]))
    assert one_step_score(KEY, late, trials).nrmse[0] == pytest.approx(1e-3, abs=1e-4)


def test_no_turn_falls_between_a_wrong_belief_and_what_happened():
    """The change is nearly half a turn one way, the belief's the other: they lie close, in every score."""
    rng = np.random.default_rng(3)
    obs = np.stack([rng.uniform(-3, 3, 30), rng.normal(0.4, 2, 30)], 1)
    change = np.stack([3.1 + 0.03 * rng.normal(size=30), rng.normal(size=30)], 1)
    trials = {0: transitions(obs, np.ones((30, 1)), obs + change)}
    belief = linear_ensemble(np.zeros((1, 2, 2)), np.zeros((1, 2, 1)), [[3.2, 0.0]], np.full((1, 2), -2.0))
    parts = one_step_predictions(KEY, belief, trials, angles=(0,))
    np.testing.assert_allclose((parts.change - parts.mean[0])[:, 0], parts.error[:, 0], rtol=1e-3, atol=1e-3)


def test_rollout_scores_of_the_true_system():
    """The variance after h steps solves `V' = A V A^T + N`; with the mean known, error and coverage follow.

    300 independent windows of two entries: 5 standard errors, widened by 60 particles instead of endlessly many.
    """
    horizon, trials = 4, trials_of(300, 4)
    windows = cut(trials, horizon, starts=300)
    score = rollout_score(forecasts(KEY, believed(NOISE), windows), windows)
    A, var = np.eye(2) + CHANGE, np.zeros((2, 2))
    for step in range(horizon):
        var = A @ var @ A.T + np.diag(NOISE**2)
        std = np.sqrt(np.diag(var)) / np.asarray(windows.scale[step])
        np.testing.assert_allclose(score.nrmse[step], std, rtol=5 / np.sqrt(600) + 0.01)
        np.testing.assert_allclose(score.crps[step], std / np.sqrt(np.pi), rtol=5 * 0.85 / np.sqrt(300))
    np.testing.assert_allclose(score.coverage, 0.9, atol=5 * np.sqrt(0.09 / 300))
    np.testing.assert_allclose(score.spread_skill, 1, rtol=5 / np.sqrt(600) + 0.01)
    assert score.trust_horizon == horizon
    np.testing.assert_array_equal(score.finite, 1)


def test_particles_follow_the_actions_of_their_window():
    trials = trials_of(2, 12, noise=np.zeros(2))
    windows = cut(trials, 5)
    exact = KnownDynamics(lambda obs, action: obs + jnp.asarray(CHANGE) @ obs + jnp.asarray(PUSH) @ action)
    fan = forecasts(KEY, exact, windows, particles=3)
    assert fan.shape == (16, 3, 5, 2)
    np.testing.assert_allclose(fan, np.repeat(windows.truth[:, None], 3, 1), rtol=1e-4, atol=1e-5)
    assert (rollout_score(fan, windows).nrmse < 1e-4).all()


def test_particles_are_a_multiple_of_the_worlds():
    windows = cut(trials_of(2, 6), 3)
    model = believed(NOISE, [[0.1, 0.2], [0.3, -0.2], [0.0, 0.5]])
    assert forecasts(KEY, model, windows, particles=7).shape[1] == 9


def test_particles_that_are_not_finite_are_misses():
    windows = cut(trials_of(3, 8), 4)
    fan = forecasts(KEY, believed(NOISE), windows)
    score = rollout_score(fan, windows)
    held = np.abs(np.asarray(score.pit)[2, 3, 1] - 0.5) <= 0.45
    bad = rollout_score(fan.at[2, 7, 3, 1].set(jnp.nan), windows)
    starts = len(windows.obs)
    assert bad.coverage[3, 1] == pytest.approx(float(score.coverage[3, 1]) - held / starts)
    assert held  # or the line above could not fail
    assert bad.finite[3] == pytest.approx(1 - 1 / (starts * fan.shape[1]))
    assert bad.nrmse[3, 1] == bad.crps[3, 1] == jnp.inf
    assert np.isfinite(bad.nrmse[:3]).all()
    np.testing.assert_array_equal(bad.coverage[:3], score.coverage[:3])


@pytest.mark.parametrize(("held", "expected"), [
    ([1, 0.9, 0.85, 0.7, 0.95], 3), ([0.7, 1, 1, 1, 1], 0), ([0.8, 0.8, 0.9, 1, 0.8], 5),
])  # fmt: skip
def test_trust_ends_where_coverage_first_falls(held, expected):
    score = rollout_score(forecasts(KEY, believed(NOISE), windows := cut(trials_of(3, 8), 5)), windows)
    coverage = jnp.asarray(held, jnp.float32)[:, None] + jnp.array([0.05, -0.05])
    score = eqx.tree_at(lambda score: score.coverage, score, coverage)
    assert score.trust_horizon == expected


def test_new_weights_compile_nothing():
    windows, trials = cut(trials_of(3, 8), 4), trials_of(3, 8)
    models = [believed(NOISE * size, [[0.1, size], [0.3, -0.2]]) for size in (1.0, 1.5)]
    one, step = (np.asarray(f(models[0])) for f in (lambda m: forecasts(KEY, m, windows), lambda m: scored(m, trials)))
    sizes = [f._cached._cache_size() for f in (forecasts, one_step_score)]
    other, further = np.asarray(forecasts(KEY, models[1], windows)), scored(models[1], trials)
    assert sizes == [f._cached._cache_size() for f in (forecasts, one_step_score)]
    assert not np.allclose(one, other)
    assert not np.allclose(step, further)


def scored(model, trials):
    return np.asarray(one_step_score(KEY, model, trials).nll)


@pytest.mark.parametrize("wrong", [0.6, 1.5])
def test_the_factor_of_a_belief_that_is_wrong_by_a_known_one(wrong):
    """Noise believed 1 / `wrong` of its size: in a linear system that is the factor, one step ahead and many.

    The slope of the coverage at 90 % is 0.34 a unit of the factor's logarithm, so 700 windows of two entries tell it
    within 0.024 (one standard error); the tolerance is 4 of these, and the search ends within 0.005.
    """
    trials = trials_of(700, 4)
    model, found = recalibrate(KEY, believed(NOISE / wrong), trials, horizon=4, starts=700)
    assert found.factor == pytest.approx(wrong, rel=0.1)
    assert found.coverage == pytest.approx(0.9, abs=0.01)
    assert (found.before < 0.85) == (wrong > 1)
    assert found.one_step == pytest.approx(wrong, rel=4 / np.sqrt(2 * 5600))
    assert isinstance(model, Recalibrated)
    assert float(model.factor) == pytest.approx(found.factor)


def test_the_search_ends_at_its_limits():
    trials = trials_of(40, 4)
    _, found = recalibrate(KEY, believed(NOISE / 50), trials, horizon=4)
    assert found.factor > 9
    assert found.coverage < 0.85
    assert found.at_limit


@pytest.mark.parametrize(
    ("covered", "factor", "at_limit"),
    [(lambda factor: 1.0, 0.1, True), (lambda factor: 0.0, 10.0, True), (lambda factor: factor / 2.222, 2.0, False)],
)
def test_a_search_that_ran_into_a_limit_says_so(monkeypatch, covered, factor, at_limit):
    """Every factor covers all, none covers anything, or twice the std covers nine tenths."""
    score = lambda factor, windows: SimpleNamespace(coverage=np.array([covered(factor)]), finite=np.ones(1))
    monkeypatch.setattr(model_score, "forecasts", lambda key, model, *rest, **settings: float(model.factor))
    monkeypatch.setattr(model_score, "rollout_score", score)
    _, found = recalibrate(KEY, believed(NOISE), trials_of(2, 6), horizon=3)
    assert found.factor == pytest.approx(factor, rel=0.01)
    assert found.at_limit == at_limit


@pytest.mark.parametrize(("bursting", "expected"), [(0.7, 0.7), (0.0, 1.0)])
def test_a_factor_at_which_particles_are_lost_is_taken_only_where_all_lose_some(monkeypatch, bursting, expected):
    """Coverage is best at a factor of 2, and from a smaller one on particles are lost: from 0.7, or wherever tried."""

    def score(factor, windows):
        coverage, finite = 0.9 - 0.1 * abs(np.log(factor / 2)), 1.0 if factor < bursting else 0.99
        return SimpleNamespace(coverage=np.array([coverage]), finite=np.array([finite]))

    monkeypatch.setattr(model_score, "forecasts", lambda key, model, *rest, **settings: float(model.factor))
    monkeypatch.setattr(model_score, "rollout_score", score)
    _, found = recalibrate(KEY, believed(NOISE), trials_of(2, 6), horizon=3)
    assert found.factor == pytest.approx(expected, rel=0.01)
    assert found.factor < bursting or not bursting


def test_a_factor_that_throws_particles_off_is_not_taken():
    rng = np.random.default_rng(2)
    walks = np.cumsum(0.25 * rng.normal(size=(60, 6, 2)), axis=1)  # 2.5 times as wild as believed
    trials = {n: transitions(walk[:-1], np.ones((5, 1)), walk[1:]) for n, walk in enumerate(walks)}
    model, found = recalibrate(KEY, Bursting(jnp.asarray(6.0)), trials, horizon=5)
    windows = cut(trials, 5)
    assert rollout_score(forecasts(KEY, Recalibrated(model.belief, 10.0), windows), windows).finite[-1] < 1
    assert found.factor == pytest.approx(2.5, rel=0.4)  # 60 windows of two entries, overlapping none
    assert found.coverage == pytest.approx(0.9, abs=0.02)


def test_parts_tell_noise_from_ignorance():
    offsets = np.array([[0.1, -0.3], [-0.2, 0.4], [0.3, 0.2]])
    parts = one_step_predictions(KEY, believed(NOISE, offsets), trials_of(2, 10))
    ratio = np.asarray(parts.epistemic / parts.aleatoric)
    np.testing.assert_allclose(ratio, np.tile(offsets.var(0) / NOISE**2, (20, 1)), rtol=1e-4)


@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e7])
def test_a_gap_is_one_in_every_unit(unit):
    """A trial whose sixth row does not begin where the fifth led to, by half a std; and a constant beside it."""
    obs = np.stack([np.arange(9.0), np.full(9, 4.0)], 1)
    obs[5:, 0] += 1.3
    moved = obs + np.array([1.0, 0.0])
    pieces = unbroken(transitions(unit * obs, np.zeros((9, 1)), unit * moved))
    assert [len(actions) for _, actions in pieces] == [5, 4]
