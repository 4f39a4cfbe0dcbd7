"""From options to objects: the learner of policies that a configuration describes."""

import math
from typing import TYPE_CHECKING, Any

from handful.cli.assemble import AgentOptions

if TYPE_CHECKING:
    from handful.training.rounds import PolicyLearning

# learners of policies from their own interaction, round by round; the others learn a model, trial by trial
LEARNERS = {
    "sarsa", "expected-sarsa", "q-learning", "dyna-q", "dqn", "reinforce", "a2c", "trpo", "ppo-penalty", "ppo",
}  # fmt: skip
ROUNDS = 50  # that the steps of a run are divided into, or fewer where an update takes more steps than that
_OF_OTHERS = (
    "model", "paper", "settings", "planner", "propagation", "particles", "horizon", "candidates", "iterations",
    "members", "risk", "recalibrate", "fit_steps", "guess_error",
)  # fmt: skip


def learning_of(options: AgentOptions, env: Any, name: str) -> "PolicyLearning":
    """The learner for an environment, and how many updates make a round.

    Raises `InputError` where options do not fit the learner, or the learner the task.
    """
    from handful.agents.policy_presets import MAKERS, on_host, preset
    from handful.envs.base import AbstractEnv
    from handful.errors import InputError
    from handful.training.rounds import PolicyLearning

    given = [name for name in _OF_OTHERS if (value := getattr(options, name)) is not None and value is not False]
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} is of agents that learn a model; leave it out with --agent {options.agent}"
        )
    steps = steps_of(options, name)
    learner = MAKERS[options.agent](preset(name), env.task, steps)
    least = 1
    if not isinstance(env, AbstractEnv):  # a round begins with a reset there, and should see the end of a trial
        learner = on_host(learner)
        least = math.ceil(env.task.horizon / (learner.envs * learner.length))
    return PolicyLearning(learner, max(least, round(steps / ROUNDS / (learner.envs * learner.length))))


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
