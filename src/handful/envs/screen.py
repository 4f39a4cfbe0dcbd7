"""Where MuJoCo can draw: on a screen, or without one by EGL."""

import contextlib
import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Iterator

CHOICE = "MUJOCO_GL"  # the environment variable by which MuJoCo is told
SECONDS = 30.0  # that a trial of a driver may take

# All that a picture needs, on an empty scene. What it prints is of no interest, only whether it lives to its end.
TRIAL = """
import mujoco, mujoco.egl
context = mujoco.egl.GLContext(8, 8)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100)
"""


def backend() -> str | None:
    """What `MUJOCO_GL` must say for pictures to be drawn: nothing ("") where it was set or there is a screen.

    None where no picture can be drawn, and asking for one would abort the process.
    """
    somewhere = {"DISPLAY", "WAYLAND_DISPLAY", CHOICE} & os.environ.keys()
    if sys.platform != "linux" or somewhere:
        return ""
    return "egl" if egl_draws() else None


@functools.cache
def egl_draws() -> bool:
    """Whether EGL is there and works: tried once, in a process of its own, since a broken driver may take it along."""
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
    """MuJoCo told so while it draws; afterwards the environment variable is what it was."""
    if not backend:
        yield
        return
    os.environ[CHOICE] = backend
    try:
        yield
    finally:
        del os.environ[CHOICE]
