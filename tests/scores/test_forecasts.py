import numpy as np
import pytest

from handful.scores.forecasts import QUANTILES, bands, coverage, measured, realised

RNG_SEED = 3


def controlled(reward, horizon, *, terminated=False):
    """A trial under plans of a length, as far as `realised` reads it."""
    ended = (np.arange(len(reward)) == len(reward) - 1) & terminated
    return {"reward": reward, "plan": np.zeros((len(reward), horizon, 2)), "terminated": ended}


@pytest.mark.parametrize("terminated", [False, True])
@pytest.mark.parametrize("horizon", [1, 4, 9, 17])  # shorter than the trial, and longer
def test_realised_sums_the_next_rewards(terminated, horizon):
    reward = np.random.default_rng(RNG_SEED).normal(1.3, 2.0, 11)
    sums = realised(controlled(reward, horizon, terminated=terminated), 0.9)
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
    np.testing.assert_array_equal(realised(controlled(reward, 2), 1.0), [3.0, np.nan, np.nan, 9.0, 11.0, np.nan])


def test_happened_begins_at_the_start_and_ends_with_the_last_next_obs():
    obs = np.arange(22.0).reshape(11, 2) + 0.5
    trial = {"obs": obs[:-1], "next_obs": obs[1:], "fan_starts": np.array([1, 6]), "fan_obs": np.zeros((2, 3, 5, 2))}
    np.testing.assert_array_equal(measured(trial), [obs[1:6], obs[6:11]])


@pytest.mark.parametrize("particles", [1, 5, 20, 37])
def test_bands_are_the_quantiles_that_a_next_draw_keeps_to(particles):
    fan = np.random.default_rng(RNG_SEED).normal(2.0, 3.0, (2, particles, 4, 3))
    expected = np.quantile(fan, QUANTILES, axis=1, method="weibull")
    np.testing.assert_allclose(bands(fan), expected, rtol=1e-12)


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_bands_leave_out_particles_that_are_not_finite(lost):
    fan = np.random.default_rng(RNG_SEED).normal(2.0, 3.0, (2, 9, 4, 3))
    fan[1, [2, 5], 3, 0] = lost
    fan[0, :, 2, 1] = lost
    result = bands(fan)
    kept = np.delete(fan[1, :, 3, 0], [2, 5])
    np.testing.assert_allclose(result[:, 1, 3, 0], np.quantile(kept, QUANTILES, method="weibull"), rtol=1e-12)
    assert np.isnan(result[:, 0, 2, 1]).all()
    assert np.isfinite(np.delete(result.reshape(5, -1), np.ravel_multi_index((0, 2, 1), (2, 4, 3)), axis=1)).all()


def drawn_trial(rng, particles, steps=40, horizon=7):
    """A trial whose forecasts are right: truth and particles are draws from the same distribution."""
    obs = rng.normal(1.0, 2.0, (steps + 1, 3))
    starts = np.arange(0, steps - horizon + 1, horizon)
    fan = rng.normal(1.0, 2.0, (len(starts), particles, horizon + 1, 3))
    return {"obs": obs[:-1], "next_obs": obs[1:], "fan_starts": starts, "fan_obs": fan}


def test_coverage_counts_one_by_one():
    trial = drawn_trial(np.random.default_rng(RNG_SEED), particles=20)
    trial["fan_obs"][1, :, 4, 2] = np.nan
    trial["fan_obs"][3, 2, :, 0] = np.inf  # one particle is enough for a miss
    held = total = 0
    for which, start in enumerate(trial["fan_starts"]):
        for ahead in range(1, trial["fan_obs"].shape[2]):
            for entry in range(3):
                particles = trial["fan_obs"][which, :, ahead, entry]
                low, high = np.quantile(np.nan_to_num(particles), [0.05, 0.95], method="weibull")
                held += np.isfinite(particles).all() and bool(
                    low <= trial["next_obs"][start + ahead - 1, entry] <= high
                )
                total += 1
    assert coverage(trial) == pytest.approx(held / total, rel=1e-6)


def test_coverage_of_a_right_forecast_is_ninety_percent():
    rng = np.random.default_rng(RNG_SEED)
    shares = [coverage(drawn_trial(rng, particles=20)) for _ in range(200)]  # 21 000 independent cases
    # 5 standard errors: a right formula fails once in 1.7 million seeds
    assert np.mean(shares) == pytest.approx(0.9, abs=5 * np.sqrt(0.9 * 0.1 / 21_000))


def test_coverage_of_an_angle_does_not_depend_on_where_the_sensor_jumps():
    """A turning angle with forecasts around it, once as it goes on and once wound, both of them, to half a turn."""
    rng = np.random.default_rng(RNG_SEED)
    trial = drawn_trial(rng, particles=20)
    going_on = 0.8 * np.arange(41)[:, None] + 0.3 * rng.normal(size=(41, 3))
    starts, horizon = trial["fan_starts"], trial["fan_obs"].shape[2] - 1
    around = np.stack([going_on[start : start + horizon + 1] for start in starts])[:, None]
    fan = around + 0.5 + 0.2 * rng.normal(size=trial["fan_obs"].shape)
    fan[:, :, 0] = around[:, :, 0]
    wind = lambda x: np.mod(x + np.pi, 2 * np.pi) - np.pi
    shares = []
    for seen in (lambda x: x, wind):
        wound = {"obs": seen(going_on[:-1]), "next_obs": seen(going_on[1:]), "fan_starts": starts, "fan_obs": seen(fan)}
        shares.append(coverage(wound, (0, 1, 2)))
    assert shares[1] == pytest.approx(shares[0], abs=1e-9)
    jumping = coverage(wound)
    assert jumping > shares[0] + 0.03  # or no jump would count anyway
