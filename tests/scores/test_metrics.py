"""Every formula against a second implementation; float32 against float64 costs at most the tolerances named here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from handful.models.score import nll_mixture
from handful.scores import metrics

RNG = np.random.default_rng(4)
M, P, B, ENTRIES = 3, 7, 11, 2
MEAN = RNG.normal(0.7, 1.5, (M, B, ENTRIES))
STD = RNG.uniform(0.3, 2.1, (M, B, ENTRIES))
Y = RNG.normal(0.4, 2.0, (B, ENTRIES))
SAMPLES = RNG.normal(0.4, 1.7, (P, B, ENTRIES))
FLOAT32 = 2e-5  # of numbers of size one, after some tens of operations


def f32(*arrays):
    return [jnp.asarray(array, jnp.float32) for array in arrays]


def near(found, expected, rtol=FLOAT32):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def test_nrmse_and_r2_are_counted_by_hand():
    error, change = f32([[1.0, 4.0], [-2.0, 0.5]], [[3.0, 2.0], [4.0, -1.0]])
    near(metrics.nrmse(error), [np.sqrt(2.5), np.sqrt(8.125)])
    near(metrics.r2(error, change), [1 - 5 / 25, 1 - 16.25 / 5])


def spoiled(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def found(score, *arrays):
    """The score, in one compiled program."""
    return np.asarray(jax.jit(score)(*f32(*arrays)))


def test_what_is_not_finite_is_infinitely_wrong():
    place = (4, 1)
    others = np.arange(B * ENTRIES) != 4 * ENTRIES + 1
    bad = spoiled(MEAN, (1, *place), np.nan)
    for score in (found(nll_mixture, Y, bad, STD), found(metrics.crps_mixture, Y, bad, STD)):
        assert score[place] == np.inf
        assert np.isfinite(score.ravel()[others]).all()
    for value in (np.nan, np.inf):
        bad = spoiled(SAMPLES, (2, *place), value)
        assert found(metrics.crps_samples, Y, bad)[place] == np.inf
        assert found(metrics.energy_score, Y, bad)[4] == np.inf
        assert found(metrics.nrmse, Y - bad.mean(0))[1] == np.inf
        pit = found(metrics.pit_samples, Y, bad)
        assert np.isnan(pit[place])
        assert np.isfinite(pit.ravel()[others]).all()
        assert found(metrics.coverage, pit, 1.0)[1] == pytest.approx((B - 1) / B)  # and a miss in every band
        bad = spoiled(MEAN, (1, *place), value)
        assert np.isnan(found(metrics.pit_mixture, Y, bad, STD)[place])
        assert found(nll_mixture, Y, bad, STD)[place] == found(metrics.crps_mixture, Y, bad, STD)[place] == np.inf
        assert found(nll_mixture, Y, bad[1:2], STD[1:2])[place] == np.inf
        assert found(nll_mixture, Y, MEAN[1:2], bad[1:2])[place] == np.inf
        error = spoiled(Y - MEAN[0], place, value)
        r2, ratio = found(metrics.r2, error, Y), found(metrics.spread_over_skill, error, STD[0])
        assert r2[1] == -np.inf
        assert ratio[1] == 0
        assert found(metrics.residual_factor, error, STD[0]) == np.inf
        assert np.isfinite([r2[0], ratio[0]]).all()


def test_likelihoods():
    y, mean, std = f32(Y, MEAN, STD)
    near(nll_mixture(y, mean[:1], std[:1]), -scipy.stats.norm.logpdf(Y, MEAN[0], STD[0]))
    near(nll_mixture(y, mean, std), -np.log(scipy.stats.norm.pdf(Y, MEAN, STD).mean(0)))
    scoringrules = pytest.importorskip("scoringrules")
    near(nll_mixture(y, mean[:1], std[:1]), scoringrules.logs_normal(Y, MEAN[0], STD[0]))
    near(nll_mixture(y, mean, std), scoringrules.logs_mixnorm(Y, MEAN, STD, mc_axis=0))


def test_the_constant_gaussian_is_the_best_one_that_ignores_the_input():
    values = RNG.normal(2.0, 3.0, 500)
    values = (values - values.mean()) / values.std()
    near(metrics.CONSTANT_NLL, -scipy.stats.norm.logpdf(values).mean())


def crps_gaussian(y, mean, std):
    return metrics.crps_mixture(y, mean[None], std[None])


def integrated(y, mean, std):
    """The integral of the squared distance between the cumulative probability and the step at y."""

    def cdf(x):
        return np.mean(scipy.stats.norm.cdf(x, mean, std))

    below = scipy.integrate.quad(lambda x: cdf(x) ** 2, -25, y)[0]
    return below + scipy.integrate.quad(lambda x: (1 - cdf(x)) ** 2, y, 25)[0]


@pytest.mark.parametrize("case", [(0, 0), (3, 1), (7, 0)])
def test_crps_is_the_integral_of_the_squared_distance_to_a_step(case):
    y, mean, std = f32(Y[case], MEAN[:, *case], STD[:, *case])
    expected = integrated(Y[case], MEAN[0][case], STD[0][case])
    assert crps_gaussian(y, mean[0], std[0]) == pytest.approx(expected, rel=1e-4)
    expected = integrated(Y[case], MEAN[:, *case], STD[:, *case])
    assert metrics.crps_mixture(y, mean, std) == pytest.approx(expected, rel=1e-4)


def test_crps_and_energy_score_agree_with_scoringrules():
    scoringrules = pytest.importorskip("scoringrules")
    y, mean, std, samples = f32(Y, MEAN, STD, SAMPLES)
    near(crps_gaussian(y, mean[0], std[0]), scoringrules.crps_normal(Y, MEAN[0], STD[0]))
    near(metrics.crps_mixture(y, mean, std), scoringrules.crps_mixnorm(Y, MEAN, STD, m_axis=0))
    near(metrics.crps_samples(y, samples), scoringrules.crps_ensemble(Y, SAMPLES, m_axis=0, estimator="fair"))
    expected = scoringrules.es_ensemble(Y, SAMPLES, m_axis=0, v_axis=-1, estimator="fair")
    near(metrics.energy_score(y, samples), expected)


def test_crps_without_spread_is_the_distance():
    """A mixture of points is a set of samples: `scoringrules` counts them."""
    y, mean = f32(Y, MEAN)
    none = jnp.zeros_like(mean)
    near(crps_gaussian(y, mean[0], none[0]), np.abs(Y - MEAN[0]))
    np.testing.assert_array_equal(crps_gaussian(y, y, none[0]), 0)
    np.testing.assert_array_equal(metrics.crps_mixture(y, jnp.stack([y, y]), none[:2]), 0)
    scoringrules = pytest.importorskip("scoringrules")
    near(metrics.crps_mixture(y, mean, none), scoringrules.crps_ensemble(Y, MEAN, m_axis=0, estimator="nrg"))
    near(crps_gaussian(y, mean[0], none[0]), scoringrules.crps_normal(Y, MEAN[0], np.full(Y.shape, 1e-9)))


def test_energy_score_of_one_entry_is_the_crps():
    y, samples = f32(Y[:, :1], SAMPLES[:, :, :1])
    near(metrics.energy_score(y, samples), metrics.crps_samples(y, samples)[:, 0])


def test_sampled_crps_has_no_bias():
    """Its mean over many small sets of samples is the closed form: 5 standard errors, one failure in 1.7 million."""
    draws = RNG.normal(0.3, 1.4, (4, 20_000))
    found = np.asarray(metrics.crps_samples(*f32(np.full(20_000, 1.1), draws)))
    expected = crps_gaussian(*f32(1.1, 0.3, 1.4))
    assert found.mean() == pytest.approx(float(expected), abs=5 * found.std() / np.sqrt(20_000))


def test_pit_of_a_mixture_and_its_quantiles():
    y, mean, std = f32(Y, MEAN, STD)
    near(metrics.pit_mixture(y, mean, std), scipy.stats.norm.cdf(Y, MEAN, STD).mean(0))
    for level in (0.05, 0.31, 0.975):
        found = metrics.quantile_mixture(mean, std, level)
        near(scipy.stats.norm.cdf(np.asarray(found, float), MEAN, STD).mean(0), level)
    low, high = scipy.stats.norm.interval(0.9, 0, STD[0])
    near(metrics.width_mixture(mean[:1], std[:1], 0.9), high - low, rtol=1e-4)
    near(metrics.width_mixture(jnp.stack([mean[0]] * 2), jnp.stack([std[0]] * 2), 0.9), high - low, rtol=1e-4)


@pytest.mark.parametrize("count", [2, 9, 40])
def test_places_among_samples_are_those_of_their_quantiles(count):
    """The place of the quantile of a level is the level: `numpy`'s Weibull quantiles are the second implementation."""
    samples = RNG.normal(1.0, 2.0, (count, 5))
    for level in np.linspace(1.01 / (count + 1), 0.99 * count / (count + 1), 8):
        y = np.quantile(samples, level, axis=0, method="weibull")
        near(metrics.pit_samples(*f32(y, samples)), level, rtol=1e-4)
    below, above = metrics.pit_samples(*f32([-99.0, 99.0], samples[:, :2]))
    assert 0 <= below <= 1 / (count + 1)
    assert count / (count + 1) <= above <= 1


def test_ties_lie_in_the_middle():
    pit = metrics.pit_samples(*f32([2.0, 5.0], [[2.0, 5.0], [2.0, 5.0], [3.0, 5.0], [1.0, 5.0]]))
    near(pit, [(1 + 1.5) / 5, 0.5])


def test_bands_of_few_samples_hold_what_they_claim():
    """Truth and 19 samples from one distribution: 40 000 cases, 5 standard errors."""
    draws = RNG.normal(size=(20, 40_000))
    pit = metrics.pit_samples(*f32(draws[0], draws[1:]))
    for level in (0.5, 0.9):
        assert metrics.coverage(pit, level) == pytest.approx(level, abs=5 * np.sqrt(level * (1 - level) / 40_000))


@pytest.mark.parametrize("count", [1, 2, 5, 9, 13, 18, 24, 60])
@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform", "standard_cauchy"])
def test_coverage_is_right_for_any_number_of_samples(count, draw):
    """Truth and samples from one distribution, 20 000 cases: 5 standard errors, and 0.005 for the interpolation."""
    draws = getattr(np.random.default_rng(count), draw)(size=(count + 1, 20_000))
    pit = metrics.pit_samples(*f32(draws[0], draws[1:]))
    for level in (0.9, 0.95):
        found = float(metrics.coverage(pit, level))
        assert found == pytest.approx(level, abs=5 * np.sqrt(level * (1 - level) / 20_000) + 0.005)


@pytest.mark.parametrize(("count", "missed"), [(4, 0.25), (9, 0.5), (18, 0.95), (19, 1.0), (60, 1.0)])
def test_what_lies_beyond_all_samples_is_missed_by_its_share(count, missed):
    """The outer two of `count + 1` places hold the tenth that a 90 % band leaves out: 5 standard errors."""
    samples = RNG.normal(size=(count, 4_000))
    found = 1 - metrics.coverage(metrics.pit_samples(*f32(np.full(4_000, 99.0), samples)), 0.9)
    assert found == pytest.approx(missed, abs=5 * np.sqrt(missed * (1 - missed) / 4_000) + 1e-6)
    assert (count >= metrics.least_samples(0.9)) == (missed == 1)


def overconfident(count=100_000):
    """Places and stds where the truth spreads one and a half times as wide as claimed."""
    mean, std = RNG.normal(size=count), RNG.uniform(0.2, 3.0, count)
    return mean, std, mean + 1.5 * std * RNG.normal(size=count)


def test_calibration_of_an_overconfident_belief():
    """Closed form: a band of probability p holds `2 cdf(q / 1.5) - 1` with q its own quantile. 5 standard errors."""
    mean, std, y = overconfident()
    pit = metrics.pit_mixture(*f32(y, mean[None], std[None]))
    claimed = scipy.stats.norm.ppf((1 + metrics.LEVELS) / 2)
    held = 2 * scipy.stats.norm.cdf(claimed / 1.5) - 1
    found = [metrics.coverage(pit, level) for level in metrics.LEVELS]
    np.testing.assert_allclose(found, held, atol=5 * 0.5 / np.sqrt(len(y)))
    assert metrics.ece(pit) == pytest.approx(np.abs(held - metrics.LEVELS).mean(), abs=5 * 0.5 / np.sqrt(len(y)))
    assert np.abs(held - metrics.LEVELS).mean() == pytest.approx(0.1303, abs=1e-4)
    spread = metrics.spread_over_skill(*f32(y - mean, std**2))
    assert spread == pytest.approx(1 / 1.5, rel=0.02)
    assert metrics.residual_factor(*f32(y - mean, std**2)) == pytest.approx(1.5, abs=5 * 1.5 / np.sqrt(2 * len(y)))


def test_calibration_agrees_with_uncertainty_toolbox():
    toolbox = pytest.importorskip("uncertainty_toolbox")
    mean, std, y = overconfident(3000)
    pit = metrics.pit_mixture(*f32(y, mean[None], std[None]))
    levels = np.linspace(0, 1, 100)
    expected = toolbox.mean_absolute_calibration_error(mean, std, y)
    assert metrics.ece(pit, levels) == pytest.approx(expected, abs=1e-3)  # a case on a band's edge counts 1 / 3000
    assert expected == pytest.approx(0.1242, abs=0.015)  # the closed form; 3000 cases
    assert metrics.sharpness(*f32(std**2)) == pytest.approx(toolbox.sharpness(std), rel=FLOAT32)
    near(crps_gaussian(*f32(y, mean, std)).mean(), toolbox.crps_gaussian(mean, std, y), rtol=1e-4)
    near(nll_mixture(*f32(y, mean[None], std[None])).mean(), toolbox.nll_gaussian(mean, std, y), rtol=1e-4)


def test_the_factor_where_there_is_nothing_to_divide_by():
    assert metrics.residual_factor(*f32([0.0, 0.3], [0.0, 0.01])) == pytest.approx(np.sqrt(4.5))
    assert metrics.residual_factor(*f32([0.2, 0.3], [0.0, 0.01])) == jnp.inf


def test_spread_of_samples_is_what_the_truth_has_around_their_mean():
    """Truth and 4 samples from one distribution of std 1.7: 50 000 cases, each within 5 standard errors."""
    draws = 1.7 * RNG.normal(size=(5, 50_000))
    found = np.mean(metrics.spread_of_samples(jnp.asarray(draws[1:])))
    expected = np.mean((draws[0] - draws[1:].mean(0)) ** 2)
    assert found == pytest.approx(expected, rel=5 * np.sqrt(2 / 50_000 + 2 / 3 / 50_000))
