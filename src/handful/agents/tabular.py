"""The agents that learn values of actions, as options describe them: tables, tilings, DQN and dynamic programming."""

import math
from typing import Any

from handful.agents.dynamic_programming import DPAgent
from handful.agents.options import values as options_of
from handful.agents.options.filled import made
from handful.envs.info import TaskInfo
from handful.values.dqn import DQN
from handful.values.dyna import DynaQ
from handful.values.linear_features import AbstractFeatures, Cells, Tiles
from handful.values.temporal_difference import AbstractRule, ExpectedSarsa, QLearning, Sarsa, TemporalDifference


def sarsa(given: options_of.TemporalDifference, env: Any, info: TaskInfo, steps: int | None = None) -> Any:
    """SARSA on tilings."""
    return _on_tiles(given, env, info, Sarsa())  # pyright: ignore[reportCallIssue] -- a class says what its target needs


def expected_sarsa(given: options_of.TemporalDifference, env: Any, info: TaskInfo, steps: int | None = None) -> Any:
    """Expected SARSA on tilings."""
    return _on_tiles(given, env, info, ExpectedSarsa())  # pyright: ignore[reportCallIssue] -- as above


def q_learning(given: options_of.TemporalDifference, env: Any, info: TaskInfo, steps: int | None = None) -> Any:
    """Q-learning on tilings."""
    return _on_tiles(given, env, info, QLearning())  # pyright: ignore[reportCallIssue] -- as above


def dyna_q(given: options_of.DynaQ, env: Any, info: TaskInfo, steps: int | None = None) -> DynaQ:
    """Dyna-Q on a table."""
    options = given.resolved(env, info)
    rule = QLearning()  # pyright: ignore[reportCallIssue] -- as above
    return DynaQ(_learner(options, Cells(info.table_grid()), rule), planning_steps=options.planning)


def dqn(given: options_of.DQN, env: Any, info: TaskInfo, steps: int | None = None) -> DQN:
    """DQN; the learning rate falls to zero in `steps` of interaction if it is annealed."""
    options = given.resolved(env, info)
    gradients = max(1, (steps or options.steps) * options.gradient_steps // options.rollout)
    return made(DQN, options, lr_decay_steps=gradients if options.anneal_learning_rate else math.inf)


def dp(given: options_of.DP, env: Any, info: TaskInfo, steps: int | None = None) -> DPAgent:
    """Dynamic programming on counts of a grid's cells."""
    return made(DPAgent, given.resolved(env, info), grid=info.table_grid())


def _on_tiles(given: Any, env: Any, info: TaskInfo, rule: AbstractRule) -> TemporalDifference:
    return _learner(given.resolved(env, info), Tiles(info.tile_grid()), rule)


def _learner(options: options_of.Tabular, features: AbstractFeatures, rule: AbstractRule) -> TemporalDifference:
    halving = options.learning_rate_decay_steps
    steps = math.inf if halving is None else halving
    return made(TemporalDifference, options, features=features, rule=rule, lr_halving_steps=steps)
