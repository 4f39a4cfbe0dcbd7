"""Statistics over seeds: against sorting, enumeration, closed forms and another library."""

import importlib.util
import itertools

import numpy as np
import pytest
from scipy import stats

from handful.scores.learning_curves import Curve, band, estimate, interquartile_mean, interval, mean
from pages import ROOT

RNG = np.random.default_rng(21)


def curve(steps, returns, *, seed=3):
    steps = np.array(steps, float)
    return Curve(seed, steps, steps / 8 + 0.5, np.array(returns, float))


@pytest.mark.parametrize("seeds", range(1, 14))
def test_interquartile_mean_is_what_is_left_of_the_sorted(seeds):
    values = RNG.normal(size=(2, 3, seeds)) * 7 + 1
    left = [sorted(values[i, k])[seeds // 4 : seeds - seeds // 4] for i in range(2) for k in range(3)]
    expected = np.array([sum(each) / len(each) for each in left]).reshape(2, 3)
    np.testing.assert_allclose(interquartile_mean(values), expected, rtol=1e-12)
    np.testing.assert_allclose(interquartile_mean(values), stats.trim_mean(values, 0.25, axis=2), rtol=1e-12)


@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
def test_interval_of_few_seeds_is_found_by_enumeration(statistic):
    """All 256 ways to draw four seeds; with 20,000 draws a bound is off by a rank only where ranks are close."""
    values = np.array([-3.5, 0.25, 1.0, 8.5])
    each = np.array([statistic(np.array([drawn]))[0] for drawn in itertools.product(values, repeat=4)])
    low, high = interval(values, statistic, level=0.7, resamples=20_000)
    # the share of draws at or beyond a bound has a standard deviation of 0.0025: a miss at 0.0125 is once in a million
    assert np.mean(each <= low) >= 0.15 - 0.0125
    assert np.mean(each < low) <= 0.15 + 0.0125
    assert np.mean(each >= high) >= 0.15 - 0.0125
    assert np.mean(each > high) <= 0.15 + 0.0125
    assert {low, high} <= set(each)


@pytest.mark.parametrize(("seeds", "statistic"), [(20, mean), (40, mean), (40, interquartile_mean)])
def test_interval_holds_the_truth_as_often_as_a_percentile_bootstrap_does(seeds, statistic):
    """Normal seeds, 4000 times. The bootstrap knows the spread of the mean less a factor `sqrt((s - 1) / s)`, and takes
    normal quantiles, so by Student's t it holds the mean 0.929 times for 20 seeds, 0.940 for 40, not 0.95.

    The share that holds has a standard deviation of 0.004, to which 2000 draws add 0.005: beyond 0.025 is four of both
    together, which other numbers would give less than once in ten thousand times.
    """
    values = np.random.default_rng(5).normal(2.5, 3.0, (seeds, 4000))
    low, high = np.array([interval(each, statistic) for each in values.T]).T
    held = np.mean((low <= 2.5) & (high >= 2.5))
    expected = 1 - 2 * stats.t.sf(stats.norm.ppf(0.975) * np.sqrt((seeds - 1) / seeds), seeds - 1)
    assert held == pytest.approx(expected, abs=0.025)


def test_resamples_are_always_the_same():
    values = RNG.normal(size=6)
    low, high = interval(values, mean)
    again = interval(3 * values - 2, mean)
    np.testing.assert_allclose(again, (3 * low - 2, 3 * high - 2), rtol=1e-9, atol=1e-9)
    assert low < values.mean() < high


def test_more_certainty_asks_for_more_room():
    values = RNG.normal(size=9)
    (low, high), (lower, higher) = (interval(values, mean, level=level) for level in (0.5, 0.9))
    assert lower < low < high < higher


def test_a_return_that_is_not_finite_is_the_least_there_is():
    values = np.array([-np.inf, 4.0, 5.0, 6.5, 7.0])
    assert estimate(values, mean).middle == -np.inf
    found = estimate(values, interquartile_mean)
    assert found.middle == pytest.approx(15.5 / 3)
    assert (found.low, np.isfinite(found.high)) == (-np.inf, True)


def test_one_seed_has_no_interval():
    found = estimate(np.array([4.5]), mean)
    assert found.middle == 4.5
    assert np.isnan([found.low, found.high]).all()


def test_a_return_is_held_until_the_next_trial_ends():
    one = curve([5, 9, 20], [-2.0, 4.0, 1.0])
    at = np.array([4.9, 5.0, 8.9, 9.0, 19.0, 20.0, 99.0])
    held = [np.nan, -2.0, -2.0, 4.0, 4.0, 1.0, 1.0]
    np.testing.assert_array_equal(one.held("env_steps", at), held)
    np.testing.assert_array_equal(one.held("wall_s", at / 8 + 0.5), held)


@pytest.mark.parametrize(("threshold", "at"), [(-2.0, 5.0), (-1.9, 9.0), (4.0, 9.0), (4.01, np.inf)])
def test_a_return_is_reached_by_the_first_trial_that_has_it(threshold, at):
    assert curve([5, 9, 20], [-2.0, 4.0, 1.0]).reached("env_steps", threshold) == at
    assert curve([5, 9, 20], [-2.0, 4.0, 1.0]).reached("wall_s", threshold) == at / 8 + 0.5


def test_trials_of_one_length_are_compared_trial_by_trial():
    returns = RNG.normal(size=(5, 4))
    at, found = band([curve([10, 20, 30, 40], each) for each in returns], "env_steps", mean)
    assert at.tolist() == [10, 20, 30, 40]
    np.testing.assert_allclose(found[0], returns.mean(0))
    np.testing.assert_array_equal(found[1:], np.array([interval(each, mean) for each in returns.T]).T)


def test_trials_of_many_lengths_are_compared_wherever_one_ends():
    curves = [curve([3, 11, 12], [1.0, -4.0, 6.0]), curve([7, 9], [2.0, 3.0]), curve([5, 12, 30], [0.0, 8.0, 10.0])]
    at, found = band(curves, "env_steps", mean)
    assert at.tolist() == [7, 9, 11, 12, 30]
    by_hand = [(1 + 2 + 0) / 3, (1 + 3 + 0) / 3, (-4 + 3 + 0) / 3, (6 + 3 + 8) / 3, (6 + 3 + 10) / 3]
    np.testing.assert_allclose(found[0], by_hand)


SEEDS = {file.parent for file in (ROOT / "results").glob("*/seed-*.csv")}
PAGED = sorted(folder for folder in SEEDS if folder.name != "pusher-contact")  # one seed, shown by tens of trials


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("bench_curves", ROOT / "benchmarks" / "learning_curves.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_best_so_far_is_a_seeds_own_and_leaves_the_random_trial_out(benchmark):
    """Published curves of PETS: the running maximum of each seed, then the mean; here not the maximum of the mean."""
    curves = np.array([[9.0, 1.0, 4.0, 2.0, 3.0], [8.0, 5.0, -1.0, 6.0, 2.0]])
    np.testing.assert_array_equal(benchmark.best_so_far(curves), [[1, 4, 4, 4], [5, 5, 6, 6]])
    rows = [line.split("|")[2:4] for line in benchmark.table(curves)[2:]]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["8.5", ""],
        ["3.0", "3.0"],
        ["1.5", "4.5"],
        ["4.0", "5.0"],
        ["2.5", "5.0"],
    ]


@pytest.mark.parametrize("folder", PAGED, ids=lambda folder: folder.name)
def test_the_tables_of_results_are_those_of_their_seeds(benchmark, folder):
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "\n".join(benchmark.table(benchmark.kept(folder))) in page
    assert f"--redraw --out results/{folder.name}`" in page
