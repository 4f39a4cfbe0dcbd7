"""Agents by their names, as the command line makes them."""

from typing import Any

from handful.agents.catalogue import AGENTS
from handful.agents.model_learners import model_learner
from handful.envs.registry import info_of


def agent_of(env: Any, agent: str = "pets", task: str = "", **options: Any) -> Any:
    """An agent of the catalogue with these options, for an environment of that task."""
    entry = AGENTS[agent]
    return entry.make(entry.options(**options), env, info_of(task))


def resolved(env: Any, agent: str = "pets", task: str = "", **options: Any) -> Any:
    """The same agent's options, every default filled in."""
    return AGENTS[agent].options(**options).resolved(env, info_of(task))


def learner_of(env: Any, agent: str = "pets", **options: Any) -> Any:
    """The learner of the agent's model."""
    return model_learner(resolved(env, agent, **options), env)
