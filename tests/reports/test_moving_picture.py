import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.reports.moving_picture import animate
from handful.training.film import LINGER_MS


class Swatch(PointMass):
    """The way gone so far as twelve bits, black and white: quickly drawn, and no two alike."""

    def draw(self, obs):
        bits = round(4095 * float(obs[0]) / 1.1) >> np.arange(12) & 1
        return np.broadcast_to(255 * bits[:, None], (5, 12, 3)).astype(np.uint8)


def env_of(dt, kind=Swatch):
    return kind(task=dataclasses.replace(PointMass().task, dt=dt))


def way(count):
    """Observations that never look the same twice."""
    place = np.linspace(0.0, 1.1, count)
    return np.stack([place, -0.5 * place, 0.3 + place, 0.2 - place], axis=1)


def frames_of(data):
    image = Image.open(io.BytesIO(data))
    durations, pictures = [], []
    for index in range(image.n_frames):
        image.seek(index)
        image.load()
        durations.append(image.info["duration"])
        pictures.append(np.asarray(image.convert("RGB"), int))
    return pictures, durations, image.info["loop"]


def test_every_step_is_a_frame_in_real_time():
    pictures, durations, loop = frames_of(animate(env_of(0.1, PointMass), way(24)))
    assert durations == [100] * 23 + [LINGER_MS]
    assert loop == 0  # for ever
    for index in (0, 11, 23):
        wanted = PointMass().draw(way(24)[index].astype(np.float32)).astype(int)
        assert pictures[index].shape == wanted.shape
        assert np.abs(pictures[index] - wanted).mean() < 1.5  # of 255: the palette has 128 colours


@pytest.mark.parametrize(("dt", "steps"), [(0.033, 40), (0.004, 101), (0.05, 1000)])
def test_leaving_frames_out_keeps_the_time(dt, steps):
    pictures, durations, _ = frames_of(animate(env_of(dt), way(steps + 1)))
    assert sum(durations[:-1]) == pytest.approx(1e3 * dt * steps, abs=10)  # the format counts hundredths
    assert min(durations) >= 20  # below that, browsers slow down
    assert len(pictures) <= 301


def test_a_step_that_is_not_finite_is_shown_all_the_same():
    visited = way(6)
    visited[3] = np.nan
    assert len(frames_of(animate(env_of(0.1, PointMass), visited))[0]) == 6


class Undrawable(PointMass):
    """Draws nothing."""

    def draw(self, obs):
        raise RuntimeError("no ink")


def test_a_drawing_that_fails_is_told():
    with pytest.raises(InputError, match="RuntimeError: no ink"):
        animate(Undrawable(), way(3))


class Unseen(PointMass):
    """Has no picture of itself, as an environment need not."""

    def draw(self, obs):
        return None


def test_an_environment_that_does_not_draw_itself_is_told():
    with pytest.raises(InputError, match="does not draw itself"):
        animate(Unseen(), way(3))
