"""Facts about the machine and the software that a run is recorded with."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import jax

from handful.version import __version__

_COMPILING = {
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
}


class CompileClock:
    """Adds up the seconds that lowering and compiling take in this process, from its making on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event in _COMPILING:
            self.seconds += duration_secs


def device() -> str:
    """The device that computes, in words."""
    first = jax.devices()[0]
    name = _processor() if first.platform == "cpu" else first.device_kind
    return f"{name}, {os.cpu_count()} cores" if first.platform == "cpu" else name


def versions() -> dict[str, str]:
    """Versions that decide what a run computes."""
    return {
        "handful": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("jax", "jaxlib", "equinox", "optax", "numpy")},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
