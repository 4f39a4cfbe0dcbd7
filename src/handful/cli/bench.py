"""`handful bench`: how long one plan or one fit takes, compared with the machine's own matrix rate."""

import dataclasses
import functools
import itertools
import statistics
import sys
import timeit
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from handful.agents.options.filled import check_least
from handful.cli.options import BenchFit, BenchPlan
from handful.data.dataset import Dataset
from handful.devices import all_devices
from handful.envs.cartpole import CartPoleSwingUp
from handful.models.bfloat16 import in_bfloat16
from handful.models.ensemble_learner import EnsembleLearner, Minibatches
from handful.models.gp.kernels import SquaredExponential
from handful.models.gp.marginal_likelihood import Priors, Search
from handful.models.gp.posterior import Posterior
from handful.planning.cem import CEM
from handful.planning.mpc import MPC
from handful.planning.problem import Problem
from handful.propagation.trajectory_sampling import TSInf
from handful.training.files import write_json
from handful.training.machine import CompileClock
from handful.types import Transition

SQUARE = 3000  # side of the matrices whose product tells the machine's rate
COUNTS = {int, int | None}  # types of options, each of which is at least 1
QUERIES = 10_000  # predictions of a GP
CHUNK = 64  # queries predicted at once: their covariances with the rows stay in the processor's cache


class Benchmark:
    """One measurement of a command that has the options `repeats` and `json`; made before anything compiles."""

    def __init__(self, options: Any) -> None:
        check_least(options, *(field.name for field in dataclasses.fields(options) if field.type in COUNTS))
        self.options, self.clock = options, CompileClock()

    def present(
        self,
        settings: dict[str, Any],
        call: Callable[[], Any],
        operations: int,
        numbers: Callable[[list[float]], dict[str, float]],
    ) -> None:
        """Time `call`, which takes so many floating-point operations; print the result, and write JSON.

        `numbers` are the benchmark's own, from the seconds of each call. All benchmarks say how near they come to the
        machine's own rate at a large float32 matrix product, timed before and after, on what, with what.
        """
        jax.block_until_ready(call())
        facts, square = self.clock.facts(), jax.random.normal(jax.random.key(0), (SQUARE, SQUARE))
        product = functools.partial(jax.jit(jnp.matmul), square, square)
        jax.block_until_ready(product())
        before, seconds = seconds_of(product, 5), seconds_of(call, self.options.repeats)
        own = numbers(seconds)
        rate = 2 * SQUARE**3 / statistics.median(before + seconds_of(product, 5)) / 1e9
        gflops = operations / statistics.median(seconds) / 1e9
        result = settings | own | {"gflops": gflops, "matrix_rate_gflops": rate, "share": gflops / rate} | facts
        width = max(map(len, result))
        for name, value in result.items():
            sys.stdout.write(f"{name:<{width}}  {f'{value:.4g}' if isinstance(value, float) else value}\n")
        if self.options.json is not None:
            write_json(self.options.json, result)


def seconds_of(call: Callable[[], Any], repeats: int) -> list[float]:
    """Wall seconds of each of `repeats` calls, their results awaited; the first call must have been made before."""
    return timeit.repeat(lambda: jax.block_until_ready(call()), number=1, repeat=repeats)


def multiplications(inputs: int, outputs: int, layers: int, width: int) -> int:
    """Weights of one net: each costs a multiplication and an addition a sample."""
    sizes = [inputs, *[width] * layers, outputs]
    return sum(a * b for a, b in itertools.pairwise(sizes))


def plan(options: BenchPlan) -> None:
    """Measure and print how long one plan takes, and how much of that is arithmetic."""
    benchmark = Benchmark(options)
    act, net_inputs, net_outputs = controller(options)
    weights = multiplications(net_inputs, net_outputs, options.layers, options.width)
    evaluations = options.candidates * options.horizon * options.particles * options.iterations
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    benchmark.present(settings, act, 2 * weights * evaluations, _quantiles)


def controller(options: BenchPlan) -> tuple[Any, int, int]:
    """A call that plans once, and the sizes of a net's input and output."""
    env = CartPoleSwingUp()
    decay = jnp.zeros(options.layers + 1)
    learner = EnsembleLearner((options.width,) * options.layers, decay, members=options.members)
    # Compiled whole, as in a run: one by one, each small operation compiles a program of its own.
    state = eqx.filter_jit(learner.init)(jax.random.key(0), env.task)
    elites = max(1, options.candidates // 10)
    planner = CEM(options.horizon, candidates=options.candidates, elites=elites, iterations=options.iterations)
    model = learner.model(state)
    if options.precision == "bf16":
        model = in_bfloat16(model)
    policy = MPC(planner, Problem(env.task, model, TSInf(options.particles), mesh=all_devices()))
    _, obs = eqx.filter_jit(env.reset)(jax.random.key(1))
    act = eqx.filter_jit(lambda policy, key, obs, carry: policy(key, obs, carry))
    carry, key = eqx.filter_jit(lambda policy: policy.init())(policy), jax.random.key(2)
    return (lambda: act(policy, key, obs, carry)), state.members.features.input_size, 2 * env.task.obs_size


def _quantiles(each: list[float]) -> dict[str, float]:
    return {"seconds": statistics.median(each), "seconds_p99": sorted(each)[min(len(each) - 1, int(0.99 * len(each)))]}


def fit(options: BenchFit) -> None:
    """Measure and print how fast an ensemble learns; or how long a Gaussian process takes to fit, predict and grow."""
    benchmark = Benchmark(options)
    steps = options.steps or (100 if options.model == "gp" else 500)
    (_gp if options.model == "gp" else _ensemble)(benchmark, options, steps)


def _ensemble(benchmark: Benchmark, options: BenchFit, steps: int) -> None:
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
    weights = multiplications(state.members.features.input_size, 2 * task.obs_size, options.layers, options.width)
    benchmark.present(
        _given(options, "transitions batch members layers width repeats", steps),
        lambda: fit(learner, state, data),
        6 * weights * options.batch * options.members * steps,
        lambda seconds: {"steps_per_second": steps / statistics.median(seconds)},
    )


def _gp(benchmark: Benchmark, options: BenchFit, steps: int) -> None:
    """Times one descent on all points and the factorisation, from one start and without scouts, and what follows.

    So do other libraries count a fit; `search_seconds` adds the scouts of the default search.
    """
    priors, search = Priors(), Search(steps=steps)
    medians = priors.medians(SquaredExponential, options.inputs)
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (options.outputs, *leaf.shape)), medians)
    rows, queries = _data(options)
    key = jax.random.key(1)
    descend = eqx.filter_jit(lambda search, rows: Posterior.given(search.descend(priors, start, rows, steps)[0], *rows))
    scout = eqx.filter_jit(lambda search, rows: Posterior.given(search(key, priors, start, rows, steps)[0], *rows))
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
        others = {name: statistics.median(seconds_of(call, options.repeats)) for name, call in further.items()}
        return {"seconds": fit, "fit_seconds": fit, **others}

    benchmark.present(
        _given(options, "points inputs outputs repeats", steps),
        lambda: descend(search, rows),
        # each step factors a matrix, inverts it, and fills it: about n^3 operations an output
        steps * options.outputs * options.points**3,
        medians_of,
    )


def _data(options: BenchFit) -> tuple[tuple[Array, Array, Array], Array]:
    """Noisy sines of random directions, and where to predict."""
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (options.points, options.inputs))
    y = jnp.sin(x @ jax.random.normal(keys[1], (options.inputs, options.outputs)))
    y += 0.05 * jax.random.normal(keys[2], y.shape)
    return (x, y, jnp.ones(options.points)), jax.random.normal(keys[3], (QUERIES, options.inputs))


def _given(options: BenchFit, names: str, steps: int) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("model", *names.split())} | {"steps": steps}
