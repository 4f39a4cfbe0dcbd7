"""From options to objects: the learner of policies that a configuration describes."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from handful.cli.assemble import AgentOptions, check_options, horizon_of, learner_of, propagator_of

if TYPE_CHECKING:
    from handful.agents.base import AbstractAgent
    from handful.training.rounds import PolicyLearning

# learners of policies from their own interaction, round by round; the others learn a model, trial by trial
LEARNERS = {
    "sarsa", "expected-sarsa", "q-learning", "dyna-q", "dqn", "reinforce", "a2c", "trpo", "ppo-penalty", "ppo",
}  # fmt: skip
ROUNDS = 50  # that the steps of a run are divided into, or fewer where an update takes more steps than that
_OF_OTHERS = (
    "model", "paper", "settings", "planner", "propagation", "particles", "horizon", "candidates", "iterations",
    "members", "risk", "precision", "recalibrate", "fit_steps", "guess_error",
)  # fmt: skip
_OF_PLANNERS = ("paper", "planner", "propagation", "particles", "candidates", "iterations", "risk")
PRACTISING = {"dp", "me-trpo", "mbpo", "pets+policy"}  # learn a belief trial by trial, and a policy inside it


def learning_of(options: AgentOptions, env: Any, name: str, rounds: int = 0) -> "PolicyLearning":
    """The learner for an environment, and how many updates make a round.

    What falls over a run falls over as many rounds as the steps make, or over `rounds` where those are more.

    Raises `InputError` where options do not fit the learner, or the learner the task.
    """
    from handful.agents.policy_presets import MAKERS, on_host
    from handful.envs.base import AbstractEnv
    from handful.training.rounds import PolicyLearning

    _refuse(options, _OF_OTHERS, f"is of agents that learn a model, and {options.agent} learns none")
    steps = steps_of(options, name)
    make, fitting, least = MAKERS[options.agent], lambda learner: learner, 1
    learner = make(name, env.task, steps)
    if not isinstance(env, AbstractEnv):  # a round begins with resets there, and should see the end of a trial
        if learner.envs > 1:
            another = env.again()
            if another is None:
                fitting = on_host
            else:
                another.close()
        learner = fitting(learner)
        least = math.ceil(env.task.horizon / learner.length)
    size = learner.envs * learner.length
    learning = PolicyLearning(learner, max(least, round(steps / ROUNDS / size)))
    planned = max(rounds_of(learning, steps), rounds) * learning.updates * size
    return dataclasses.replace(learning, learner=fitting(make(name, env.task, planned)))


def rounds_of(learning: "PolicyLearning", steps: int) -> int:
    """How many rounds so many steps of interaction make."""
    return max(1, round(steps / (learning.updates * learning.learner.envs * learning.learner.length)))


def steps_of(options: AgentOptions, name: str) -> int:
    """The interaction that a run has."""
    from handful.agents.policy_presets import preset
    from handful.errors import InputError

    if options.steps is None:
        return preset(name).steps
    if options.steps < 1:
        raise InputError(f"--steps must be at least 1, got {options.steps}")
    return options.steps


def practising_of(options: AgentOptions, env: Any, name: str) -> "AbstractAgent":
    """The agent that learns a policy inside a belief; or solves one, where the belief is a table.

    Raises `InputError` where options do not fit it.
    """
    from handful.agents.mbpo import mbpo
    from handful.agents.me_trpo import me_trpo
    from handful.agents.pets_policy import AHEAD, pets_policy
    from handful.agents.policy_presets import counting
    from handful.errors import InputError

    if options.agent == "dp":
        _refuse(options, _OF_OTHERS, "is of other agents; dp counts in a grid")
        return counting(name, env.task)
    _refuse(options, _OF_PLANNERS, f"does not fit --agent {options.agent}")
    check_options(options)
    learner = learner_of(options, env, name)
    if options.agent == "pets+policy":
        if env.task.categorical:
            raise InputError("--agent pets+policy plans continuous actions, and this task's are categories")
        horizon = horizon_of(options, min(AHEAD, env.task.horizon), env.task)
        agent = pets_policy(name, learner=learner, horizon=horizon)
        return dataclasses.replace(agent, propagator=propagator_of(options))
    if options.horizon is not None:
        raise InputError(f"--horizon is of planners; leave it out with --agent {options.agent}")
    return {"me-trpo": me_trpo, "mbpo": mbpo}[options.agent](name, learner=learner)


def _refuse(options: AgentOptions, names: tuple[str, ...], why: str) -> None:
    from handful.errors import InputError

    given = [name for name in names if (value := getattr(options, name)) is not None and value is not False]
    if given:
        raise InputError(f"--{given[0].replace('_', '-')} {why}; leave it out")
