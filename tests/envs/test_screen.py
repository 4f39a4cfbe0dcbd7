"""Where MuJoCo draws, and what it draws: with EGL where that is there, and not at all where nothing works."""

import os
import sys

import numpy as np
import pytest

from handful.envs import screen
from handful.envs.loading import load

NAMES = ["cartpole-swingup-mujoco", "reacher-7dof", "pusher-7dof", "half-cheetah-pets"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MuJoCo needs no screen that could be missing")


@pytest.fixture
def nowhere(monkeypatch):
    """No screen, and nothing that says where to draw."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)


@linux
@pytest.mark.parametrize(("works", "backend"), [(True, "egl"), (False, None)])
def test_without_a_screen_it_is_egl_where_that_works(nowhere, monkeypatch, works, backend):
    monkeypatch.setattr(screen, "egl_draws", lambda: works)
    assert screen.backend() == backend
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert screen.backend() == "", "who has chosen is not contradicted"


@linux
@pytest.mark.parametrize("trial", ["raise ImportError('no driver')", "import os; os.abort()", "while True: pass"])
def test_a_driver_that_fails_aborts_or_hangs_takes_nothing_along(monkeypatch, trial):
    monkeypatch.setattr(screen.ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(screen, "TRIAL", trial)
    monkeypatch.setattr(screen, "SECONDS", 1.0)
    assert not screen.egl_draws.__wrapped__()


def test_without_the_library_no_process_is_started(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(screen.ctypes, "CDLL", missing)
    monkeypatch.setattr(screen, "TRIAL", "pass")
    assert not screen.egl_draws.__wrapped__()


def test_the_choice_lasts_as_long_as_the_drawing(nowhere):
    with screen.chosen("egl"):
        assert os.environ["MUJOCO_GL"] == "egl"
    assert "MUJOCO_GL" not in os.environ
    with pytest.raises(RuntimeError, match="no ink"), screen.chosen("egl"):
        raise RuntimeError("no ink")
    assert "MUJOCO_GL" not in os.environ
    with screen.chosen(""):
        assert "MUJOCO_GL" not in os.environ


def trial(name, *, drawn):
    """What is seen in a few steps, and the pictures of the first and the last."""
    env, pictures = load(name), []
    rows = [env.reset(seed=5)]
    env.env.action_space.seed(5)
    for step in range(12):
        if drawn and step in (0, 11):
            pictures.append(env.draw())
        rows.append(env.step(env.env.action_space.sample())[0])
    env.close()
    return np.stack(rows), pictures


@pytest.mark.skipif(screen.backend() is None, reason="there is neither a screen nor EGL")
@pytest.mark.parametrize("name", NAMES)
def test_the_tasks_are_drawn_and_do_not_notice(name):
    rows, (first, last) = trial(name, drawn=True)
    unseen, _ = trial(name, drawn=False)
    np.testing.assert_array_equal(rows, unseen)
    for picture in (first, last):
        assert picture.shape == (320, 480, 3)
        assert picture.std() > 5
    assert (first != last).any(2).mean() > 0.002  # something has moved


@pytest.mark.skipif(screen.backend() is None, reason="there is neither a screen nor EGL")
@pytest.mark.parametrize(("name", "colours"), [("reacher-7dof", 1), ("pusher-7dof", 2), ("cartpole-swingup-mujoco", 2)])
def test_what_is_to_be_moved_and_where_to_is_in_the_picture(name, colours):
    """Green is the aim; orange is what is to get there, where that is not the arm."""
    env = load(name)
    env.reset(seed=6)
    picture = env.draw().astype(int)
    env.close()
    red, green, blue = np.moveaxis(picture, 2, 0)
    seen = [(green > red + 25) & (green > blue + 10), (red > green + 40) & (red > blue + 60)]
    for mask in seen[:colours]:
        assert 20 < mask.sum() < 20_000
