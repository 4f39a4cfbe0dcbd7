"""Films of hosted trials: which steps are in them, at which speed, what is kept of a run, and what may go wrong."""

import io
import math
import time

import gymnasium
import jax
import numpy as np
import pytest
from PIL import Image

from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.policies.simple import UniformPolicy
from handful.training.film import LINGER_MS, MOST_FRAMES, WIDEST, Film, film_path, gif, keep_film
from handful.training.host import Hosted
from handful.training.run import Row


def frame(value, height=6, width=8):
    return np.full((height, width, 3), value, np.uint8)


def decoded(data):
    image = Image.open(io.BytesIO(data))
    pictures, durations = [], []
    for index in range(image.n_frames):
        image.seek(index)
        pictures.append(np.asarray(image.convert("RGB"), int))
        durations.append(image.info["duration"])
    return pictures, durations


def taken(horizon, steps):
    """The times that a film holds of a trial that ends after so many steps."""
    film = Film(horizon)
    for at in range(steps + 1):
        for _ in range(2):  # asked twice, as between two pieces of a trial
            if film.wants(at, over=at == steps):
                film.add(at, frame(0))
    return film.times


def test_frames_are_even_and_the_last_step_is_there():
    assert taken(7, 7) == list(range(8))
    assert taken(200, 7) == [0, 3, 6, 7]
    assert taken(200, 6) == [0, 3, 6]
    for horizon in (99, 100, 150, 1000, 12_345):
        times = taken(horizon, horizon)
        assert 45 <= len(times) <= MOST_FRAMES
        assert times[-1] == horizon
        assert len(set(np.diff(times[:-1]))) == 1


def test_a_film_is_as_fast_as_the_trial_was():
    pictures, durations = decoded(gif([frame(0), frame(120), frame(250)], [0, 3, 8], 0.033))
    assert durations == [100, 160, LINGER_MS]  # 99 and 264 ms from the start, in hundredths
    for picture, value in zip(pictures, (0, 120, 250), strict=True):
        np.testing.assert_allclose(picture, frame(value), atol=3)  # the palette's


def test_wide_pictures_are_shrunk_and_odd_ones_left_out():
    film = Film(9)
    for at, (height, width) in enumerate([(300, 1200), (300, 1200), (200, 200), (300, 1200)]):
        film.add(at, frame(at, height, width))
    assert film.times == [0, 1, 3]
    assert {each.shape for each in film.frames} == {(120, WIDEST, 3)}


def row(trial, return_):
    return Row(trial, 9 * trial, return_, {}, 0.0, 0.0)


def test_a_run_keeps_the_films_of_its_best_trial_and_its_last(tmp_path):
    def kept(*returns, drawn=True):
        film = Film(5)
        if drawn:
            film.add(0, frame(len(returns)))
        keep_film(tmp_path, film, [row(trial, value) for trial, value in enumerate(returns)], 0.1)
        return sorted(int(path.stem[-3:]) for path in (tmp_path / "videos").iterdir())

    assert kept(-3.0, -5.0) == [1]
    assert kept(-3.0, -5.0, 4.0) == [2]
    assert kept(-3.0, -5.0, 4.0, 1.0) == [2, 3]
    assert kept(-3.0, -5.0, 4.0, 1.0, math.nan) == [2, 4]  # not finite is never best
    assert kept(-3.0, -5.0, 4.0, 1.0, math.nan, 3.0, drawn=False) == [2]
    pictures, _ = decoded(film_path(tmp_path, 2).read_bytes())
    np.testing.assert_allclose(pictures[0], frame(3), atol=3)
    keep_film(tmp_path, None, [row(0, 1.0)], 0.1)  # a pure environment has no film, and its report draws another


class Clock(gymnasium.Env):
    """Draws its own time, slowly; its camera may break."""

    action_space = gymnasium.spaces.Box(-1.0, 1.5, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    render_mode, dt, max_episode_steps = "rgb_array", 0.1, 7

    def __init__(self, breaks=np.inf):
        self.breaks = breaks

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.state = 0, self.np_random.normal(size=2)
        return self.state, {}

    def step(self, action):
        self.time += 1
        self.state = self.state + 0.1 * action + self.np_random.normal(size=2)
        return self.state, float(self.state[0]), False, False, {}

    def render(self):
        time.sleep(0.01)
        if self.time >= self.breaks:
            raise OSError("lens cap")
        return frame(20 * self.time)


def run(system, *, filming=True, pieces=(3, 3, 3)):
    system.filming = filming
    policy = UniformPolicy.of(system.task)
    system.start(jax.random.key(3), policy)
    done, spent = [], []
    for steps in pieces:
        piece, over = system.advance(policy, steps=steps)
        done.append(piece)
        spent.append(system.drawing_s)
    assert over
    return np.concatenate([piece.transitions.next_obs for piece in done]), spent


@pytest.fixture(scope="module")
def filmed():
    system = Hosted(GymnasiumEnv(Clock()))
    return system, *run(system)


def test_a_trial_is_filmed_from_its_start_to_its_end(filmed):
    system, *_ = filmed
    assert system.film.times == list(range(8))
    np.testing.assert_array_equal([each[0, 0, 0] for each in system.film.frames], 20 * np.arange(8))


def test_drawing_is_timed_apart(filmed):
    """Four frames in the first piece, three in the second, one in the last; each takes a hundredth of a second."""
    _, _, spent = filmed
    for seconds, frames in zip(spent, (4, 3, 1), strict=True):
        assert seconds >= 0.01 * frames


def test_a_trial_that_nobody_asked_to_film_is_not_and_is_the_same(filmed):
    system = Hosted(GymnasiumEnv(Clock()))
    rows, spent = run(system, filming=False)
    assert system.film is None
    assert spent == [0.0, 0.0, 0.0]
    np.testing.assert_array_equal(rows, filmed[1])


def test_a_camera_that_breaks_ends_no_trial(filmed):
    system = Hosted(GymnasiumEnv(Clock(breaks=3)))
    rows, _ = run(system)
    np.testing.assert_array_equal(rows, filmed[1])
    assert system.film.times == [0, 1, 2]
    assert "rendering raised OSError: lens cap" in system.notes[-1]


def test_each_trial_has_a_film_of_its_own(filmed):
    system, *_ = filmed
    before = system.film
    run(system)
    assert system.film is not before
    assert system.film.times == before.times
