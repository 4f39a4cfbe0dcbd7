"""What a fit shows besides its scores, and the report that is made of it whatever it found."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.models.base import AbstractDynamics, AbstractLearner, FitReport
from handful.models.known import KnownDynamics
from handful.reports import model_figures
from handful.reports.model_report import write_model_report
from handful.training import model_fit
from handful.training.model_fit import ModelFolder, fit_model
from handful.types import Transition
from probes import task_of

TASK = task_of(lambda obs, action, next_obs: obs[0], 2, [-1.0], [1.5], angles=(0,))
HORIZON = 4


def turned(obs, action):
    return obs + jnp.array([0.9, 0.1]) * action


class Knowing(AbstractLearner):
    """Knows the system, and learns nothing."""

    belief: AbstractDynamics

    def init(self, key, task):
        return jnp.zeros(1)

    def update(self, key, state, data):
        return state, FitReport(jnp.zeros(1), jnp.zeros(1), jnp.asarray(0), jnp.zeros(1, bool))

    def model(self, state):
        return self.belief


def trials_of(*lengths):
    """Trials of that many steps, with a sensor that jumps where the angle passes half a turn."""
    rng = np.random.default_rng(8)
    trials = {}
    for number, steps in enumerate(lengths):
        action = rng.uniform(0.5, 1.5, (steps, 1))
        obs = np.cumsum(np.concatenate([rng.normal(0.3, 1, (1, 2)), action * [0.9, 0.1]]), 0)
        obs[:, 0] = np.mod(obs[:, 0] + np.pi, 2 * np.pi) - np.pi
        obs, action, no = jnp.asarray(obs, jnp.float32), jnp.asarray(action, jnp.float32), jnp.zeros(steps, bool)
        trials[number] = Transition(obs[:-1], action, jnp.ones(steps), obs[1:], no, no)
    return trials


def without(trial, row):
    return jax.tree.map(lambda leaf: jnp.delete(leaf, row, axis=0), trial)


def fitted(trials, belief=None):
    learner = Knowing(belief or KnownDynamics(turned))
    return fit_model(jax.random.key(2), learner, TASK, trials, horizon=HORIZON, particles=3)


def test_the_forecast_shown_crosses_no_gap():
    trials = trials_of(9, 13, 14)
    trials[2] = without(trials[2], 3)  # 3 steps, too few, and 10
    shown = fitted(trials).shown
    assert shown["number"] == 2
    np.testing.assert_array_equal(shown["fan_starts"], [0, 4])
    np.testing.assert_array_equal(shown["obs"][1:], shown["next_obs"][:-1])
    np.testing.assert_allclose(shown["obs"][0], trials[2].obs[3], rtol=1e-6)
    for start, particles in zip(shown["fan_starts"], shown["fan_obs"], strict=True):
        truth = np.concatenate([shown["obs"], shown["next_obs"][-1:]])[start : start + HORIZON + 1]
        np.testing.assert_allclose(particles, np.tile(truth, (len(particles), 1, 1)), atol=1e-5)  # the belief is right


def test_a_sensor_that_jumps_breaks_no_trial():
    trials = trials_of(9, 13, 14)
    after = trials[2].obs[1:, 0]
    trials[2] = eqx.tree_at(lambda trial: trial.obs, trials[2], trials[2].obs.at[1:, 0].set(after + 2 * jnp.pi))
    fit = fitted(trials)
    assert fit.before.rollout.nrmse.shape[0] == HORIZON
    assert len(fit.shown["obs"]) == 14


def test_what_is_shown_has_keys_of_its_own(monkeypatch):
    seen = []

    def noting(function):
        def noted(key, *arguments, **settings):
            seen.append(tuple(np.asarray(jax.random.key_data(key)).tolist()))
            return function(key, *arguments, **settings)

        return noted

    for name in ("scores_of", "one_step_predictions", "_fan"):
        monkeypatch.setattr(model_fit, name, noting(getattr(model_fit, name)))
    fitted(trials_of(9, 13, 14))
    assert len(seen) == 4
    assert len(set(seen)) == 3  # before and after recalibration meet the same worlds


@pytest.mark.parametrize("lost", [0, slice(None)])
def test_doubt_that_is_not_finite_is_left_out(lost):
    rng = np.random.default_rng(5)
    arrays = {
        "seen": rng.normal(size=(30, 2)),
        **{name: rng.uniform(1, 2, (30, 2)) for name in ("aleatoric", "epistemic")},
    }
    arrays["epistemic"][lost, 1] = np.inf
    (picture,) = model_figures.uncertainty(model_figures.ModelRecord({"names": ["one", "other"]}, {}, arrays))
    figure = picture.content
    noise, ignorance = figure.axes[1].lines
    assert np.isfinite(noise.get_ydata()).all()
    assert np.isfinite(ignorance.get_ydata()).all()
    assert (len(ignorance.get_ydata()) > 0) == (lost == 0)
    assert 1 < figure.axes[1].get_ylim()[1] < 4


def test_a_model_that_is_no_number_somewhere_has_a_report(tmp_path):
    """One particle in many is lost: the share is told as it is. And a belief without a number at all."""
    path = tmp_path / "few"
    fit = fitted(trials_of(9, 13, 14))
    lost = eqx.tree_at(lambda fit: fit.finite, fit.after.rollout, jnp.full(HORIZON, 1 - 1 / 2400))
    told(path, dataclasses.replace(fit, after=model_fit.ModelScores(fit.after.one_step, lost)))
    assert "0.04167% of the particles became infinite or NaN" in (path / "report.html").read_text()
    told(tmp_path / "all", fitted(trials_of(9, 13, 14), KnownDynamics(lambda obs, action: obs * jnp.nan)))
    assert "Not to be trusted" in (tmp_path / "all" / "report.html").read_text()


def told(path, fit):
    folder = ModelFolder(path)
    folder.save(fit, {"model": "known", "data": "none", "timed": True, "notes": []})
    write_model_report(folder)
