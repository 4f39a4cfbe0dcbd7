"""Selects how MuJoCo draws: on a screen, or without one by EGL."""

import contextlib
import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Iterator

CHOICE = "MUJOCO_GL"  # the environment variable that MuJoCo reads
SECONDS = 30.0  # that the test of a driver may take

# All that a picture needs, on an empty scene. Only the exit code matters.
TRIAL = """
import mujoco, mujoco.egl
context = mujoco.egl.GLContext(8, 8)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100)
"""


def backend() -> str | None:
    """Returns the value of `MUJOCO_GL` with which pictures can be drawn; "" if it is set or there is a screen.

    None if no picture can be drawn; trying to would abort the process.
    """
    somewhere = {"DISPLAY", "WAYLAND_DISPLAY", CHOICE} & os.environ.keys()
    if sys.platform != "linux" or somewhere:
        return ""
    return "egl" if egl_draws() else None


@functools.cache
def egl_draws() -> bool:
    """Returns true if EGL works: tried once, in a process of its own, since a broken driver may crash it."""
    try:
        ctypes.CDLL("libEGL.so.1")
        done = subprocess.run(
            [sys.executable, "-c", TRIAL],
            env=os.environ | {CHOICE: "egl"},
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextlib.contextmanager
def chosen(backend: str | None) -> Iterator[None]:
    """Set the environment variable while MuJoCo draws."""
    if not backend:
        yield
        return
    os.environ[CHOICE] = backend
    try:
        yield
    finally:
        del os.environ[CHOICE]
