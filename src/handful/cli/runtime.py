"""What the command line sets up before JAX starts; the library itself sets nothing."""

import contextlib
import io
import os
import shutil
import sys
from pathlib import Path

from handful.training.trust import home_folder


def start() -> None:
    """Make each core a device, so that candidates are shared out whole; keep compiled programs; keep quiet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    flags = os.environ.get("XLA_FLAGS", "")
    if "host_platform_device_count" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={min(len(cores()), 8)}".strip()
    import jax

    keeps = (
        getattr(jax.config, "jax_compilation_cache_dir", None)
        or os.environ.get("HANDFUL_COMPILATION_CACHE", "1") == "0"
    )
    place = None if keeps else home_folder("XDG_CACHE_HOME", ".cache")
    if place is not None:
        jax.config.update("jax_compilation_cache_dir", str(place / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def double_precision() -> bool:
    """True if JAX computes in double precision, as by the variable JAX_ENABLE_X64."""
    import jax

    return bool(jax.config.read("jax_enable_x64"))


def use_float64(*, use: bool = True) -> None:
    """Compute in double precision from here on, or in single; before the first array is made."""
    import jax

    jax.config.update("jax_enable_x64", use)


def write_safely() -> None:
    """What a terminal's encoding lacks is shown as a question mark, and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def say(text: str) -> None:
    """Print and flush. A closed pipe or a full disk behind the output is ignored."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(text)
        sys.stdout.flush()


def next_steps(*commands: str) -> str:
    """Commands to run next, and the path of `handful` if the shell would not find it."""
    lines = "\n".join(f"{'Next:' if not index else '':<12} handful {words}" for index, words in enumerate(commands))
    if shutil.which("handful"):
        return f"{lines}\n"
    beside = Path(sys.executable).with_name("handful")
    program = os.path.relpath(beside) if beside.exists() else f"{sys.executable} -m handful"
    return f"{lines}\n(`handful` stands for {program} here.)\n"
