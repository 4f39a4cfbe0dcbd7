"""What holds for every test: annotations are checked, the CPU computes, figures need no screen."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MPLBACKEND"] = "Agg"
# Compiling takes most of the suite's time. Older, quicker code generation, hardly optimised, halves it; tests marked
# `arithmetic` compute for longer than they compile, and get the optimisation back.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

from jaxtyping import install_import_hook

# Only modules that are imported after this line are checked, so nothing here imports handful.
install_import_hook("handful", "beartype.beartype")

_QUICK = pytest.StashKey[bool]()  # whether programs are compiled quickly, for now


def pytest_configure(config):
    """Share compiled programs between the workers, and with the next run."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


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
def _few_compiled_programs():
    """Let compiled programs go before they fill the process's memory mappings, of which Linux allows 65,530."""
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > 20_000:
        import jax

        jax.clear_caches()
