"""`handful bench fit`: how fast a model learns."""

import dataclasses
import statistics
from pathlib import Path
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Options:
    """Time gradient steps of a probabilistic ensemble on random data, or fit, prediction and growth of a GP."""

    model: Literal["ensemble", "gp"] = "ensemble"
    """what is fitted; the options from transitions to width are of ensembles"""
    points: int = 500
    """rows of a GP"""
    inputs: int = 5
    """inputs of a GP"""
    outputs: int = 4
    """outputs of a GP"""
    transitions: int = 2000
    """rows of data"""
    batch: int = 256
    """rows of a gradient step"""
    steps: int | None = None
    """gradient steps of a fit: 500, for a GP 100"""
    members: int = 5
    """nets in the ensemble"""
    layers: int = 4
    """hidden layers of a net"""
    width: int = 200
    """units of a hidden layer"""
    repeats: int = 5
    """times that it is measured; the median counts"""
    json: Path | None = None
    """write the result to this file too"""


def run(options: Options) -> None:
    """Measure and print."""
    from handful.cli import bench, runtime

    runtime.start()
    clock = runtime.CompileClock()
    bench.check_counts(options)

    steps = options.steps or (100 if options.model == "gp" else 500)
    rate = bench.MatrixRate()
    rate.read()
    if options.model == "gp":
        from handful.cli import bench_gp

        sizes = {"points": options.points, "inputs": options.inputs, "outputs": options.outputs, "steps": steps}
        seconds = bench_gp.measure(**sizes, repeats=options.repeats)
        # each step factors a matrix, inverts it, and fills it: about n^3 operations an output
        gflops = steps * options.outputs * options.points**3 / seconds["fit_seconds"] / 1e9
        result = {"model": "gp", **sizes, "repeats": options.repeats, "seconds": seconds["fit_seconds"], **seconds}
    else:
        result, gflops = _ensemble(options, steps)
    rate.read()
    bench.present({**result, **bench.facts(gflops, rate, clock.seconds)}, options.json)


def _ensemble(options: Options, steps: int) -> tuple[dict[str, Any], float]:
    """Settings and steps a second; and the GFLOP/s of their matrix products."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from handful.cli import bench
    from handful.data.dataset import Dataset
    from handful.devices import all_devices
    from handful.envs.cartpole import CartPoleSwingUp
    from handful.models.ensemble_learner import EnsembleLearner, Minibatches
    from handful.types import Transition

    task = CartPoleSwingUp().task
    learner = EnsembleLearner(
        hidden=(options.width,) * options.layers,
        decay=jnp.full(options.layers + 1, 1e-4),
        members=options.members,
        mesh=all_devices(),
        minibatches=Minibatches(size=options.batch, least=steps, most=steps),
    )
    keys = jax.random.split(jax.random.key(0), 3)
    count = options.transitions
    obs, next_obs = (jax.random.normal(key, (count, task.obs_size)) for key in keys[:2])
    action = jax.random.normal(keys[2], (count, task.action_size))
    nothing = jnp.zeros(count, bool)
    rows = Transition(obs, action, jnp.zeros(count), next_obs, nothing, nothing)
    data = Dataset.empty(task, count).add(rows, trial=0)
    state = learner.init(jax.random.key(1), task)
    fit = eqx.filter_jit(lambda learner, state, data: learner.fit(jax.random.key(2), state, data))

    jax.block_until_ready(fit(learner, state, data))
    seconds = bench.seconds_of(lambda: fit(learner, state, data), options.repeats)
    per_second = steps / statistics.median(seconds)
    weights = bench.multiplications(state.members.features.input_size, 2 * task.obs_size, options.layers, options.width)
    names = ("transitions", "batch", "members", "layers", "width", "repeats")
    settings = {"model": "ensemble", **{name: getattr(options, name) for name in names}, "steps": steps}
    return {**settings, "steps_per_second": per_second}, (
        6 * weights * options.batch * options.members * per_second / 1e9
    )
