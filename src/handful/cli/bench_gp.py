"""How long a Gaussian process takes to fit, to predict and to grow."""

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Array

QUERIES = 10_000
CHUNK = 64  # queries predicted at once: their covariances with the rows stay in the processor's cache


def measure(points: int, inputs: int, outputs: int, steps: int, repeats: int = 5) -> dict[str, float]:
    """Seconds, medians of `repeats`, of one descent of so many steps and of what follows; compilation is left out.

    `fit_seconds` is the descent on all points and the factorisation, from one start and without scouts, as other
    libraries count it; `search_seconds` adds the scouts of the default search.
    """
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from handful.cli import bench
    from handful.models.gp.kernels import SquaredExponential
    from handful.models.gp.marginal_likelihood import Priors
    from handful.models.gp.posterior import Posterior
    from handful.models.gp.search import Search

    def fitted(search: Search, rows: tuple) -> Posterior:
        covariance, _ = search(jax.random.key(1), priors, start, rows, search.steps)
        return Posterior.given(covariance, *rows)

    def single(search: Search, rows: tuple) -> Posterior:
        covariance, _ = search.descend(priors, start, rows, search.steps)
        return Posterior.given(covariance, *rows)

    priors, search = Priors(), Search(steps=steps)
    medians = priors.medians(SquaredExponential, inputs)
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (outputs, *leaf.shape)), medians)
    rows, queries = _data(points, inputs, outputs)
    fit, full, refactor = eqx.filter_jit(single), eqx.filter_jit(fitted), eqx.filter_jit(Posterior.given)
    predict = jax.jit(lambda posterior, at: jax.lax.map(posterior.mean_and_variance, at, batch_size=CHUNK))
    append = jax.jit(lambda posterior, query, target: posterior.append(query, target))
    posterior = fit(search, rows)
    short = Posterior.given(posterior.covariance, rows[0], rows[1], rows[2].at[-1].set(0.0))
    calls = {
        "fit_seconds": lambda: fit(search, rows),
        "search_seconds": lambda: full(search, rows),
        "predict_seconds": lambda: predict(posterior, queries),
        "append_seconds": lambda: append(short, rows[0][-1], rows[1][-1]),
        "refactor_seconds": lambda: refactor(posterior.covariance, *rows),
    }
    return {name: _median(bench, call, repeats) for name, call in calls.items()}


def _data(points: int, inputs: int, outputs: int) -> tuple[tuple["Array", "Array", "Array"], "Array"]:
    """Noisy sines of random directions, and where to predict."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (points, inputs))
    y = jnp.sin(x @ jax.random.normal(keys[1], (inputs, outputs)))
    y += 0.05 * jax.random.normal(keys[2], y.shape)
    return (x, y, jnp.ones(points)), jax.random.normal(keys[3], (QUERIES, inputs))


def _median(bench: Any, call: Any, repeats: int) -> float:
    bench.seconds_of(call, 1)
    return statistics.median(bench.seconds_of(call, repeats))
