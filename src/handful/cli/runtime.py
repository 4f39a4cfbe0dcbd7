"""What the command line sets up before JAX starts; the library itself sets nothing."""

import os
import platform
from pathlib import Path


def start() -> None:
    """Make each core a device, so that candidates are shared out whole; keep compiled programs; keep quiet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    flags = os.environ.get("XLA_FLAGS", "")
    if "host_platform_device_count" not in flags:
        cores = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)
        os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={cores}".strip()
    import jax

    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "handful" / "compiled"
    if (
        getattr(jax.config, "jax_compilation_cache_dir", None) is None
        and os.environ.get("HANDFUL_COMPILATION_CACHE", "1") != "0"
    ):
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def use_float64() -> None:
    """Compute in double precision from here on; before the first array is made."""
    import jax

    jax.config.update("jax_enable_x64", True)


_COMPILING = {
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
}


class CompileClock:
    """Adds up the seconds that lowering and compiling take in this process."""

    def __init__(self) -> None:
        import jax

        self.seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event in _COMPILING:
            self.seconds += duration_secs


def device() -> str:
    """The device that computes, in words."""
    import jax

    first = jax.devices()[0]
    name = _processor() if first.platform == "cpu" else first.device_kind
    return f"{name}, {os.cpu_count()} cores" if first.platform == "cpu" else name


def versions() -> dict[str, str]:
    """Versions that decide what a run computes."""
    from importlib.metadata import version

    from handful.version import __version__

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
