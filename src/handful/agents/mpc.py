"""PETS, and model predictive control through any other model, by their options."""

from typing import Any

from handful.agents.model_learners import learns_on_host, model_learner
from handful.agents.mpc_agent import MPCAgent
from handful.agents.options.planning import BY_DERIVATIVE, MPC
from handful.agents.planners import first_colour, planner_of, propagator_of, risk_of
from handful.devices import all_devices
from handful.envs.info import TaskInfo
from handful.errors import InputError


def make(given: MPC, env: Any, info: TaskInfo, steps: int | None = None) -> MPCAgent:
    """PETS, or model predictive control through another model, by its options.

    Raises `InputError` where options do not fit each other or the task.
    """
    options = given.resolved(env, info)
    host = learns_on_host(options, env)
    if host and options.planner in BY_DERIVATIVE:
        raise InputError(
            f"--planner {options.planner} needs derivatives, and MuJoCo behind --model truth gives none; choose "
            "--planner cem, icem, mppi or shooting"
        )
    # small networks fit as fast on one device, and compile in half the time
    learner = model_learner(options, env, mesh=all_devices() if options.paper else None)
    return MPCAgent(
        learner,
        planner_of(options),
        propagator_of(options, env.task.memoryless if options.paper else None),
        risk_of(options),
        first_colour(options),
        None if host else all_devices(),
        options.precision == "bf16",
        same_noise=not options.paper,
    )
