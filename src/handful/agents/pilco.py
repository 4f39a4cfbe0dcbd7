"""PILCO: a Gaussian process, moment matching and a radial policy."""

from typing import Any

from handful.agents.model_learners import learns_on_host, model_learner
from handful.agents.options.planning import PILCO
from handful.agents.planners import first_colour, propagator_of, risk_of
from handful.agents.policy_search import Ascent, PolicySearchAgent
from handful.envs.info import TaskInfo
from handful.errors import InputError


def make(given: PILCO, env: Any, info: TaskInfo, steps: int | None = None) -> PolicySearchAgent:
    """PILCO by its options. Raises `InputError` where they do not fit each other or the task."""
    options = given.resolved(env, info)
    if learns_on_host(options, env):
        raise InputError(
            "--agent pilco needs derivatives, and MuJoCo behind --model truth gives none; leave --agent out"
        )
    ascent = Ascent(
        horizon=options.horizon,
        starts=options.starts,
        steps=options.policy_steps,
        rate=options.policy_learning_rate,
        clip=options.max_grad_norm,
    )
    return PolicySearchAgent(
        model_learner(options, env),
        propagator_of(options),
        ascent,
        risk_of(options),
        options.basis_functions,
        first_colour(options),
    )
