"""What holds for every test: annotations are checked, the CPU computes, figures need no screen."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MPLBACKEND"] = "Agg"

from jaxtyping import install_import_hook

# Only modules that are imported after this line are checked, so nothing here imports handful.
install_import_hook("handful", "beartype.beartype")


def pytest_configure(config):
    """Share compiled programs between the workers, and with the next run."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
