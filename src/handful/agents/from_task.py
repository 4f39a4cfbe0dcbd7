"""Agents in Python as `handful train TASK --agent NAME` sets them up: by a task's name and the agent's options."""

from typing import Any

from handful.agent import AbstractAgent
from handful.agents.catalogue import entry_of
from handful.agents.mpc_agent import MPCAgent
from handful.agents.pets import pets
from handful.envs.loading import load
from handful.envs.registry import info_of
from handful.models.base import AbstractLearner
from handful.planning.base import AbstractPlanner
from handful.propagation.base import AbstractPropagator


def agent_for(task: str, name: str, **options: Any) -> AbstractAgent:
    """Returns the agent of that name in the catalogue, with the task's defaults for options that are left out.

    The options are those of the command line: `--learning-rate 0.1` is `learning_rate=0.1`.

    >>> agent_for("cartpole-v1", "dqn", learning_rate=0.5).learning_rate.item()
    0.5

    Raises `InputError` if there is no such agent or task, or the options do not fit, and `TypeError` if the agent does
    not have an option.
    """
    entry, env = entry_of(name), load(task)
    return entry.make(entry.options(**options), env, info_of(task))


def mpc(
    learner: AbstractLearner | None = None,
    planner: AbstractPlanner | None = None,
    propagator: AbstractPropagator | None = None,
) -> MPCAgent:
    """Returns model predictive control through any learned model; parts that are left out are those of `pets()`."""
    usual = pets()
    return MPCAgent(learner or usual.learner, planner or usual.planner, propagator or usual.propagator)


def pilco(task: str = "pendulum", **options: Any) -> AbstractAgent:
    """Returns PILCO: a Gaussian process, moment matching, and a radial policy improved by gradient.

    Source: [Deisenroth11]. Deviates: see `PolicySearchAgent`. Options and errors as in `agent_for`.
    """
    return agent_for(task, "pilco", **options)


def dp(task: str = "pendulum", **options: Any) -> AbstractAgent:
    """Returns dynamic programming on counts of a grid's cells, with the grid that the task declares.

    Options and errors as in `agent_for`.
    """
    return agent_for(task, "dp", **options)


def a2c(task: str = "cartpole-v1", **options: Any) -> AbstractAgent:
    """Returns the advantage actor-critic: one gradient step for each batch of steps. Options as in `agent_for`."""
    return agent_for(task, "a2c", **options)


def sarsa(task: str = "cartpole-v1", **options: Any) -> AbstractAgent:
    """Returns SARSA on tilings of the grid that the task declares. Options and errors as in `agent_for`."""
    return agent_for(task, "sarsa", **options)


def expected_sarsa(task: str = "cartpole-v1", **options: Any) -> AbstractAgent:
    """Returns expected SARSA on tilings of the grid that the task declares. Options and errors as in `agent_for`."""
    return agent_for(task, "expected-sarsa", **options)


def q_learning(task: str = "cartpole-v1", **options: Any) -> AbstractAgent:
    """Returns Q-learning on tilings of the grid that the task declares. Options and errors as in `agent_for`."""
    return agent_for(task, "q-learning", **options)


def dyna_q(task: str = "cartpole-v1", **options: Any) -> AbstractAgent:
    """Returns Dyna-Q on the table of the grid that the task declares. Options and errors as in `agent_for`."""
    return agent_for(task, "dyna-q", **options)
