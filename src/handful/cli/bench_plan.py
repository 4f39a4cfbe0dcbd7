"""`handful bench plan`: how long one plan takes, and how much of that is arithmetic."""

import dataclasses
import statistics
from pathlib import Path
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Options:
    """Time one plan of the cross-entropy method through an untrained ensemble, on the cart-pole task."""

    candidates: int = 500
    """plans tried in an iteration"""
    horizon: int = 15
    """steps that a plan looks ahead"""
    particles: int = 20
    """rollouts of each candidate plan, a multiple of the members"""
    iterations: int = 5
    """iterations of the planner"""
    members: int = 5
    """nets in the ensemble"""
    layers: int = 4
    """hidden layers of a net"""
    width: int = 200
    """units of a hidden layer"""
    precision: Literal["float32", "bf16"] = "float32"
    """type of the nets' products; they add up in float32 either way"""
    repeats: int = 20
    """times that it is measured; the median counts"""
    json: Path | None = None
    """write the result to this file too"""


def run(options: Options) -> None:
    """Measure and print."""
    from handful.cli import bench, runtime

    runtime.start()
    clock = runtime.CompileClock()
    bench.check_counts(options)
    act, net_inputs, net_outputs = _controller(options)

    import jax

    jax.block_until_ready(act())
    compile_s = clock.seconds
    rate = bench.MatrixRate()
    rate.read()
    seconds = bench.seconds_of(act, options.repeats)
    rate.read()

    evaluations = options.candidates * options.horizon * options.particles * options.iterations
    weights = bench.multiplications(net_inputs, net_outputs, options.layers, options.width)
    median = statistics.median(seconds)
    gflops = 2 * weights * evaluations / median / 1e9
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    bench.present(
        {
            **settings,
            "seconds": median,
            "seconds_p99": sorted(seconds)[min(len(seconds) - 1, int(0.99 * len(seconds)))],
            **bench.facts(gflops, rate, compile_s),
        },
        options.json,
    )


def _controller(options: Options) -> tuple[Any, int, int]:
    """A call that plans once, and the sizes of a net's input and output."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from handful.devices import all_devices
    from handful.envs.cartpole import CartPoleSwingUp
    from handful.models.bfloat16 import in_bfloat16
    from handful.models.ensemble_learner import EnsembleLearner
    from handful.planning.cem import CEM
    from handful.planning.mpc import MPC
    from handful.planning.problem import Problem
    from handful.propagation.trajectory_sampling import TSInf

    env = CartPoleSwingUp()
    learner = EnsembleLearner(
        hidden=(options.width,) * options.layers, decay=jnp.zeros(options.layers + 1), members=options.members
    )
    # Compiled whole, as in a run: one by one, each small operation compiles a program of its own.
    state = eqx.filter_jit(learner.init)(jax.random.key(0), env.task)
    planner = CEM(
        horizon=options.horizon,
        candidates=options.candidates,
        elites=max(1, options.candidates // 10),
        iterations=options.iterations,
    )
    model = learner.model(state)
    if options.precision == "bf16":
        model = in_bfloat16(model)
    policy = MPC(planner, Problem(env.task, model, TSInf(options.particles), mesh=all_devices()))
    _, obs = eqx.filter_jit(env.reset)(jax.random.key(1))
    act = eqx.filter_jit(lambda policy, key, obs, carry: policy(key, obs, carry))
    carry, key = eqx.filter_jit(lambda policy: policy.init())(policy), jax.random.key(2)
    return (lambda: act(policy, key, obs, carry)), state.members.features.input_size, 2 * env.task.obs_size
