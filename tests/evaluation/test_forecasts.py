import numpy as np
import pytest

from handful.evaluation.forecasts import LEVELS, bands, coverage, happened, realised

RNG_SEED = 3


@pytest.mark.parametrize("terminated", [False, True])
@pytest.mark.parametrize("horizon", [1, 4, 9, 17])  # shorter than the trial, and longer
def test_realised_sums_the_next_rewards(terminated, horizon):
    reward = np.random.default_rng(RNG_SEED).normal(1.3, 2.0, 11)
    sums = realised(reward, horizon, discount=0.9, terminated=terminated)
    assert sums.shape == reward.shape
    for start in range(len(reward)):
        window = reward[start : start + horizon]
        if len(window) < horizon and not terminated:
            assert np.isnan(sums[start])
        else:
            expected = sum(0.9**ahead * value for ahead, value in enumerate(window))
            assert sums[start] == pytest.approx(expected, rel=1e-12)


def test_realised_is_unknown_where_a_reward_is():
    reward = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    np.testing.assert_array_equal(realised(reward, 2), [3.0, np.nan, np.nan, 9.0, 11.0, np.nan])


def test_happened_begins_at_the_start_and_ends_with_the_last_next_obs():
    obs = np.arange(22.0).reshape(11, 2) + 0.5
    trial = {"obs": obs[:-1], "next_obs": obs[1:], "fan_starts": np.array([1, 6]), "fan_obs": np.zeros((2, 3, 5, 2))}
    np.testing.assert_array_equal(happened(trial), [obs[1:6], obs[6:11]])


@pytest.mark.parametrize("particles", [1, 5, 20, 37])
def test_bands_are_the_quantiles_that_a_next_draw_keeps_to(particles):
    fan = np.random.default_rng(RNG_SEED).normal(2.0, 3.0, (2, particles, 4, 3))
    expected = np.quantile(fan, LEVELS, axis=1, method="weibull")
    np.testing.assert_allclose(bands(fan), expected, rtol=1e-12)


def test_bands_leave_out_particles_that_are_not_finite():
    fan = np.random.default_rng(RNG_SEED).normal(2.0, 3.0, (2, 9, 4, 3))
    fan[1, [2, 5], 3, 0] = np.nan
    fan[0, :, 2, 1] = np.nan
    result = bands(fan)
    kept = np.delete(fan[1, :, 3, 0], [2, 5])
    np.testing.assert_allclose(result[:, 1, 3, 0], np.quantile(kept, LEVELS, method="weibull"), rtol=1e-12)
    assert np.isnan(result[:, 0, 2, 1]).all()
    assert np.isfinite(np.delete(result.reshape(5, -1), np.ravel_multi_index((0, 2, 1), (2, 4, 3)), axis=1)).all()


def drawn_trial(rng, particles, steps=40, horizon=7):
    """A trial whose forecasts are right: truth and particles are draws from the same distribution."""
    obs = rng.normal(1.0, 2.0, (steps + 1, 3))
    starts = np.arange(0, steps - horizon + 1, horizon)
    fan = rng.normal(1.0, 2.0, (len(starts), particles, horizon + 1, 3))
    return {"obs": obs[:-1], "next_obs": obs[1:], "fan_starts": starts, "fan_obs": fan}


def test_coverage_counts_one_by_one():
    trial = drawn_trial(np.random.default_rng(RNG_SEED), particles=9)
    trial["fan_obs"][1, :, 4, 2] = np.nan  # holds nothing
    held = total = 0
    for which, start in enumerate(trial["fan_starts"]):
        for ahead in range(1, trial["fan_obs"].shape[2]):
            for entry in range(3):
                particles = trial["fan_obs"][which, :, ahead, entry]
                low, high = np.quantile(particles, [0.05, 0.95], method="weibull")
                held += bool(low <= trial["next_obs"][start + ahead - 1, entry] <= high)
                total += 1
    assert coverage(trial) == pytest.approx(held / total, rel=1e-12)


def test_coverage_of_a_right_forecast_is_ninety_percent():
    rng = np.random.default_rng(RNG_SEED)
    shares = [coverage(drawn_trial(rng, particles=20)) for _ in range(200)]  # 21 000 independent cases
    # 5 standard errors: a right formula fails once in 1.7 million seeds
    assert np.mean(shares) == pytest.approx(0.9, abs=5 * np.sqrt(0.9 * 0.1 / 21_000))
