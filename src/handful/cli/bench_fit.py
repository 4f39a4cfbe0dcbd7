"""`handful bench fit`: how fast an ensemble learns; or how long a Gaussian process takes to fit, predict and grow."""

import statistics
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from handful.cli import bench
from handful.cli.options import BenchFit as Options
from handful.data.dataset import Dataset
from handful.devices import all_devices
from handful.envs.cartpole import CartPoleSwingUp
from handful.models.ensemble_learner import EnsembleLearner, Minibatches
from handful.models.gp.kernels import SquaredExponential
from handful.models.gp.marginal_likelihood import Priors, Search
from handful.models.gp.posterior import Posterior
from handful.types import Transition

QUERIES = 10_000  # predictions of a GP
CHUNK = 64  # queries predicted at once: their covariances with the rows stay in the processor's cache


def run(options: Options) -> None:
    """Measure and print."""
    benchmark = bench.Benchmark(options)
    steps = options.steps or (100 if options.model == "gp" else 500)
    (_gp if options.model == "gp" else _ensemble)(benchmark, options, steps)


def _ensemble(benchmark: bench.Benchmark, options: Options, steps: int) -> None:
    task = CartPoleSwingUp().task
    learner = EnsembleLearner(
        hidden=(options.width,) * options.layers,
        weight_decay=jnp.full(options.layers + 1, 1e-4),
        members=options.members,
        mesh=all_devices(),
        minibatches=Minibatches(batch_size=options.batch, min_steps=steps, max_steps=steps),
    )
    keys, count = jax.random.split(jax.random.key(0), 3), options.transitions
    obs, next_obs = (jax.random.normal(key, (count, task.obs_size)) for key in keys[:2])
    action, nothing = jax.random.normal(keys[2], (count, task.action_size)), jnp.zeros(count, bool)
    data = Dataset.empty(task, count)
    data = data.add(Transition(obs, action, jnp.zeros(count), next_obs, nothing, nothing), trial=0)
    state = learner.init(jax.random.key(1), task)
    fit = eqx.filter_jit(lambda learner, state, data: learner.fit(jax.random.key(2), state, data))
    weights = bench.multiplications(state.members.features.input_size, 2 * task.obs_size, options.layers, options.width)
    benchmark.present(
        _settings(options, "transitions", "batch", "members", "layers", "width", "repeats", steps=steps),
        lambda: fit(learner, state, data),
        6 * weights * options.batch * options.members * steps,
        lambda seconds: {"steps_per_second": steps / statistics.median(seconds)},
    )


def _gp(benchmark: bench.Benchmark, options: Options, steps: int) -> None:
    """Times one descent on all points and the factorisation, from one start and without scouts, and what follows.

    So do other libraries count a fit; `search_seconds` adds the scouts of the default search.
    """
    priors, search = Priors(), Search(steps=steps)
    medians = priors.medians(SquaredExponential, options.inputs)
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (options.outputs, *leaf.shape)), medians)
    rows, queries = _data(options)
    descend = eqx.filter_jit(lambda search, rows: Posterior.given(search.descend(priors, start, rows, steps)[0], *rows))
    scout = eqx.filter_jit(
        lambda search, rows: Posterior.given(search(jax.random.key(1), priors, start, rows, steps)[0], *rows)
    )
    refactor = eqx.filter_jit(Posterior.given)
    predict = jax.jit(lambda posterior, at: jax.lax.map(posterior.mean_and_variance, at, batch_size=CHUNK))
    append = jax.jit(lambda posterior, query, target: posterior.append(query, target))
    posterior = descend(search, rows)
    short = Posterior.given(posterior.covariance, rows[0], rows[1], rows[2].at[-1].set(0.0))
    further = {
        "search_seconds": lambda: scout(search, rows),
        "predict_seconds": lambda: predict(posterior, queries),
        "append_seconds": lambda: append(short, rows[0][-1], rows[1][-1]),
        "refactor_seconds": lambda: refactor(posterior.covariance, *rows),
    }

    def medians_of(seconds: list[float]) -> dict[str, float]:
        for call in further.values():
            jax.block_until_ready(call())
        fit = statistics.median(seconds)
        others = {name: bench.seconds_of(call, options.repeats) for name, call in further.items()}
        return {"seconds": fit, "fit_seconds": fit, **{name: statistics.median(each) for name, each in others.items()}}

    benchmark.present(
        _settings(options, "points", "inputs", "outputs", "repeats", steps=steps),
        lambda: descend(search, rows),
        # each step factors a matrix, inverts it, and fills it: about n^3 operations an output
        steps * options.outputs * options.points**3,
        medians_of,
    )


def _data(options: Options) -> tuple[tuple[Array, Array, Array], Array]:
    """Noisy sines of random directions, and where to predict."""
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (options.points, options.inputs))
    y = jnp.sin(x @ jax.random.normal(keys[1], (options.inputs, options.outputs)))
    y += 0.05 * jax.random.normal(keys[2], y.shape)
    return (x, y, jnp.ones(options.points)), jax.random.normal(keys[3], (QUERIES, options.inputs))


def _settings(options: Options, *names: str, steps: int) -> dict[str, Any]:
    return {"model": options.model, **{name: getattr(options, name) for name in names}, "steps": steps}
