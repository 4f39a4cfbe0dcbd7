"""`handful bench plan`: how long one plan takes, and how much of that is arithmetic."""

import statistics
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from handful.cli import bench
from handful.cli.options import BenchPlan as Options
from handful.devices import all_devices
from handful.envs.cartpole import CartPoleSwingUp
from handful.models.bfloat16 import in_bfloat16
from handful.models.ensemble_learner import EnsembleLearner
from handful.planning.cem import CEM
from handful.planning.mpc import MPC
from handful.planning.problem import Problem
from handful.propagation.trajectory_sampling import TSInf


def run(options: Options) -> None:
    """Measure and print."""
    benchmark = bench.Benchmark(options)
    act, net_inputs, net_outputs = controller(options)
    weights = bench.multiplications(net_inputs, net_outputs, options.layers, options.width)
    evaluations = options.candidates * options.horizon * options.particles * options.iterations
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    benchmark.present(settings, act, 2 * weights * evaluations, _seconds)


def controller(options: Options) -> tuple[Any, int, int]:
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


def _seconds(each: list[float]) -> dict[str, float]:
    return {"seconds": statistics.median(each), "seconds_p99": sorted(each)[min(len(each) - 1, int(0.99 * len(each)))]}
