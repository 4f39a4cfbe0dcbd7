"""`handful bench fit`: gradient steps a second."""

import dataclasses
import statistics
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Options:
    """Time gradient steps of a probabilistic ensemble on random data: 6 inputs, 4 outputs."""

    transitions: int = 2000
    """rows of data"""
    batch: int = 256
    """rows of a gradient step"""
    steps: int = 500
    """gradient steps of a fit"""
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

    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from handful.data.dataset import Dataset
    from handful.envs.cartpole import CartPoleSwingUp
    from handful.models.ensemble_learner import EnsembleLearner, Minibatches
    from handful.types import Transition

    task = CartPoleSwingUp().task
    learner = EnsembleLearner(
        hidden=(options.width,) * options.layers,
        decay=jnp.full(options.layers + 1, 1e-4),
        members=options.members,
        minibatches=Minibatches(size=options.batch, least=options.steps, most=options.steps),
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
    compile_s = clock.seconds
    rate = bench.MatrixRate()
    rate.read()
    seconds = bench.seconds_of(lambda: fit(learner, state, data), options.repeats)
    rate.read()

    per_second = options.steps / statistics.median(seconds)
    weights = bench.multiplications(state.members.features.input_size, 2 * task.obs_size, options.layers, options.width)
    gflops = 6 * weights * options.batch * options.members * per_second / 1e9
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    bench.present(
        {
            **settings,
            "steps_per_second": per_second,
            **bench.facts(gflops, rate, compile_s),
        },
        options.json,
    )
