"""What is drawn of a trial whose sensor jumps by a turn."""

import numpy as np

from handful.reports.plant import Plant
from handful.reports.record import Labels, Record
from handful.reports.run_figures import coverage
from handful.reports.trial_figures import forecast
from handful.training.run import Row
from probes import task_of

TURNING = 0.7 * np.arange(22)
STARTS = np.array([2, 8, 14])


def wound(angle):
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi


def turning_trial():
    """An angle that turns two and a half times, a second entry, and forecasts that are a little ahead of both."""
    obs = np.stack([wound(TURNING), np.sin(TURNING)], 1)
    ahead = np.stack(
        [np.stack([TURNING[start : start + 7], np.sin(TURNING[start : start + 7])], 1) for start in STARTS]
    )
    offsets = np.linspace(0.02, 0.58, 20)[None, :, None, None] * (np.arange(7) > 0)[:, None]
    fan = ahead[:, None] + offsets
    fan[..., 0] = wound(fan[..., 0])
    return {"obs": obs[:-1], "next_obs": obs[1:], "reward": np.ones(21), "fan_starts": STARTS, "fan_obs": fan}


def test_a_forecast_goes_round_with_what_happened():
    figure = forecast(turning_trial(), Labels(("angle [rad]", "height"), (0,), 0.1), 4)
    angle, height = figure.axes
    lines = {line.get_label(): line for line in angle.lines}
    np.testing.assert_allclose(lines["measured"].get_ydata(), TURNING, atol=1e-5)
    medians = [line for line in angle.lines if len(line.get_ydata()) == 7]
    assert len(medians) == len(STARTS)
    for line, start in zip(medians, STARTS, strict=True):
        expected = TURNING[start : start + 7] + 0.3 * (np.arange(7) > 0)
        np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-5)
    np.testing.assert_allclose(height.lines[-1].get_ydata(), np.sin(TURNING), atol=1e-6)


def test_the_coverage_of_a_run_knows_the_angles_of_its_task():
    row = Row(0, 21, 1.0, {}, 0.0, 0.0)
    shares = []
    for angles in ((0,), ()):
        task = task_of(lambda obs, action, next_obs: obs[0], 2, [-1.0], [1.5], angles=angles)
        record = Record({}, {}, [row], {0: turning_trial()}, Plant.of(task, hosted=False), None, {}, [])
        (picture,) = coverage(record)
        shares.append(picture.content.axes[0].lines[1].get_ydata()[0])
    assert shares[0] == 0  # every particle is ahead, and some only of them past half a turn
    assert shares[1] > 5
