"""Facts about the machine and the software that a run is recorded with."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from handful.version import __version__

_COMPILING = {f"/jax/core/compile/{stage}_duration" for stage in ("jaxpr_to_mlir_module", "backend_compile")}


class CompileClock:
    """Adds up the seconds that lowering and compiling take in this process, from its making on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def facts(self) -> dict[str, Any]:
        """The seconds so far, the device and the versions."""
        return {"compile_s": self.seconds, "device": device(), "versions": versions()}

    def _heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event in _COMPILING:
            self.seconds += duration_secs


def device() -> str:
    """The device that computes, in words."""
    first = jax.devices()[0]
    return f"{_processor()}, {os.cpu_count()} cores" if first.platform == "cpu" else first.device_kind


def versions() -> dict[str, str]:
    """Versions that decide what a run computes."""
    libraries = {name: version(name) for name in ("jax", "jaxlib", "equinox", "optax", "numpy")}
    return {"handful": __version__, "python": platform.python_version(), **libraries}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
