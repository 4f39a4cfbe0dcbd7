"""What holds for every test: annotations are checked, the CPU computes, figures need no screen."""

import ctypes
import gc
import os
import platform
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MPLBACKEND"] = "Agg"
# Compiling takes most of the suite's time. Older, quicker code generation, hardly optimised, halves it; tests marked
# `arithmetic` compute for longer than they compile, and get the optimisation back. Any jaxlib takes this flag, and
# ignores an extra option that it does not know.
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters".strip()
)
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

from jaxtyping import install_import_hook

# Only modules that are imported after this line are checked, so nothing here imports handful.
install_import_hook("handful", "beartype.beartype")

MOST_BYTES = 1e9  # held after a module; two workers stay below 4 GB together
LONGEST = ("cli", "agents", "examples", "architecture", "training", "contracts", "models")  # folders, by their files
_QUICK = pytest.StashKey[bool]()  # whether programs are compiled quickly, for now


def pytest_addoption(parser):
    parser.addoption("--programs", type=int, nargs="?", const=0, help="print the N modules and tests that cost most")


def pytest_configure(config):
    """Share compiled programs between the workers, and with the next run."""
    import jax

    gc.set_threshold(100_000, 50, 100)  # tracing makes many objects that stay: Python's 700 look through them too often

    from programs import Programs

    config.pluginmanager.register(Programs(), "programs")

    os.environ["XDG_STATE_HOME"] = str(config.cache.mkdir("state"))  # what tests have run is not what this user has run
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_collection_modifyitems(items):
    """Begin with the folders whose files take longest, so that no worker is left with one of them at the end.

    A file's tests stay together (`--dist=loadfile`): its fixtures, which may train, are made by one worker.
    """
    place = {folder: index for index, folder in enumerate(LONGEST)}
    items.sort(key=lambda item: min(place.get(part, len(place)) for part in item.path.parts))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Optimise what the test and its fixtures compile only where that pays.

    Programs of the other kind are forgotten: a run that met both could not be repeated to the last bit.
    """
    import jax

    quick = item.get_closest_marker("arithmetic") is None
    if item.config.stash.get(_QUICK, True) != quick:
        item.config.stash[_QUICK] = quick
        jax.config.update("jax_disable_most_optimizations", quick)
        jax.clear_caches()


@pytest.fixture(autouse=True, scope="module")
def _little_memory():
    """Return to the system what the compiler has freed; let compiled programs go before they fill the memory.

    Or before they fill the process's memory mappings, of which Linux allows 65,530.
    """
    yield
    if resident_bytes() > MOST_BYTES:
        trim()
    if resident_bytes() > MOST_BYTES or mappings() > 20_000:
        import equinox
        import jax

        equinox.clear_caches()
        jax.clear_caches()
        gc.collect()
        trim()


def trim() -> None:
    """Return free memory to the system: glibc keeps what compilers freed, two thirds of what a worker holds."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """What this process holds now; 0 where the system does not say."""
    sizes = Path("/proc/self/statm")
    return int(sizes.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if sizes.exists() else 0


def mappings() -> int:
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0
