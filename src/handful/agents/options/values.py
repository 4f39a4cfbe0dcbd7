"""Options of the agents that learn values of actions: by network, by table, or by solving a model."""

from dataclasses import dataclass
from typing import Any

from handful.agents.options.actor_critic import Interaction
from handful.agents.options.filled import filled

USUAL = {"learning_rate": 0.2, "initial_value": 0.0, "epsilon": 0.05, "exploration_steps": 20_000}  # of tables


@dataclass(frozen=True)
class DQN(Interaction):
    """Deep Q-learning with a replay and a target network."""

    num_steps: int = 32  # steps in each environment between two updates
    hidden: tuple[int, ...] = (128, 128)  # units of each hidden layer, as in --hidden 128 128
    capacity: int = 100_000  # transitions that the replay holds
    batch_size: int = 64  # transitions in a gradient step
    gradient_steps: int = 128  # in each update
    double: bool = True  # double Q-learning: the online network picks the next action, the target network rates it
    bins_per_dim: int | None = None  # values to choose from in each continuous action
    discount: float | None = None  # of the return
    learning_rate: float = 1e-3  # Adam's learning rate
    anneal_learning_rate: bool = True  # let the learning rate fall linearly to zero over the run
    huber_delta: float = 30.0  # error from which on the Huber loss is linear
    max_grad_norm: float = 1000.0  # greatest norm of a gradient
    tau: float = 1.0  # share of the way that the target network moves each time
    target_update_every: int = 128  # gradient steps between two moves of the target network
    learning_starts: int = 1000  # transitions in the replay before learning starts
    exploration_steps: int | None = None  # steps in which epsilon falls from 1 to its last value
    epsilon: float = 0.04  # last probability of a random action

    def suggested(self, info: Any, task: Any) -> dict[str, Any]:
        steps = info.preset.steps if self.steps is None else self.steps
        return {
            "bins_per_dim": None if task.categorical else 7,
            "discount": min(info.preset.discount + 0.05, 0.99),
            "exploration_steps": min(info.preset.exploration_steps, steps // 6),
        }


@dataclass(frozen=True)
class Tabular(Interaction):
    """Values linear in features of a grid, learned step by step."""

    num_steps: int = 1  # steps in each environment between two updates
    bins_per_dim: int | None = None  # values to choose from in each continuous action
    discount: float = 0.98  # of the return
    learning_rate: float | None = None  # share of the error that one step removes
    learning_rate_decay_steps: float | None = None  # steps after which the learning rate has halved (never if left out)
    initial_value: float | None = None  # value of everything at the start; more than can be had makes for exploring
    epsilon: float | None = None  # last probability of a random action
    exploration_steps: int | None = None  # steps in which epsilon falls from 1 to its last value

    def suggested(self, info: Any, task: Any) -> dict[str, Any]:
        bins = None if task.categorical else 5 if task.action_size == 1 else 3
        return {"bins_per_dim": bins, **USUAL, **info.tabular}


@dataclass(frozen=True)
class TemporalDifference(Tabular):
    """Q-learning, SARSA and expected SARSA on tilings."""


@dataclass(frozen=True)
class DynaQ(Tabular):
    """Q-learning on a table that also learns from remembered steps."""

    planning: int = 10  # remembered steps learned from after each step


@dataclass(frozen=True)
class DP:
    """Count where the cells of a grid lead, trial by trial, and solve the counts by dynamic programming."""

    bins_per_dim: int | None = None  # values to choose from in each continuous action
    discount: float = 0.97  # of the return
    unvisited: float | None = None
    """value of an action that was never tried in a cell; more than can be had makes for exploring"""
    tolerance: float = 0.01  # error of the values at which iteration stops

    def resolved(self, env: Any, info: Any) -> Any:
        """See `Options.resolved`."""
        return filled(self, bins_per_dim=None if env.task.categorical else 3, unvisited=info.optimism)
