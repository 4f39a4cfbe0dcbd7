"""Learners of policies by name, set for a task: ours, or what the field has found to work."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from handful.agents.dynamic_programming import DPAgent
from handful.policies.learner import AbstractPolicyLearner
from handful.policy_optimization.actor_critic import a2c
from handful.policy_optimization.base import Nets
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.reinforce import Reinforce
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.steps import Adam
from handful.policy_optimization.surrogate import Clipped, Penalised
from handful.policy_optimization.trpo import TRPO, TrustRegion
from handful.task import Task
from handful.values.dqn import DQN
from handful.values.dyna import DynaQ
from handful.values.grids import grid_of, tiles_of
from handful.values.linear_features import Cells
from handful.values.temporal_difference import AbstractRule, ExpectedSarsa, QLearning, Sarsa, TemporalDifference

Make = Callable[[str, Task, int], AbstractPolicyLearner]  # of a task's name, for so many steps of interaction


@dataclass(frozen=True)
class Preset:
    """What a task asks of every method."""

    steps: int = 200_000  # of interaction that a run has, unless it is told otherwise
    discount: float = 0.99
    decay: float = 0.95  # of generalised advantages
    envs: int = 8  # side by side; where there can be no copies, all their steps fall to one
    length: int = 128  # [steps] of each between two updates
    standardise: bool = True  # inputs
    scale_rewards: bool = True
    scale_imagined: bool = True  # rewards inside a belief, where the unit must settle within few updates
    rate: float = 1e-3  # of PPO, falling to zero over the run
    epochs: int = 10
    size: int = 128  # of a minibatch
    batch: int = 1024  # [steps] of an update of TRPO
    exploration: int = 16_000  # [steps] in which DQN's chance falls
    falling: bool = False  # TRPO's delta, to zero over the run: breaks no good policy late, and leaves a poor one so


_RUNNER = Preset(steps=1_000_000, envs=8, length=256, rate=3e-4, size=64, batch=2048)
_PRESETS = {
    "cartpole-v1": Preset(
        100_000, 0.98, 0.8, envs=8, length=32, standardise=False, scale_rewards=False, epochs=20, size=256
    ),
    "acrobot-v1": Preset(500_000, envs=16, length=64, scale_rewards=False, scale_imagined=False, exploration=50_000),
    "pendulum": Preset(150_000, 0.9, envs=4, length=256, scale_imagined=False, size=64),
    "cartpole-swingup": Preset(400_000, envs=8, length=200),
    "mountain-car-continuous-v0": Preset(200_000, 0.999, envs=8, length=128),
    # a policy that drifts to the rail's end within the trial's 1000 steps is told from one that does not by many steps
    "invertedpendulum-v5": dataclasses.replace(_RUNNER, steps=500_000, batch=8192, falling=True),
    **{f"{name}-v5": _RUNNER for name in ("halfcheetah", "hopper", "walker2d")},
    "swimmer-v5": dataclasses.replace(_RUNNER, discount=0.9999),
}
# Held at an angle by its motor, the pendulum rests at a greater return than hanging down; only who looks further than
# the swing takes gives that up.
_PRESETS["pendulum-v1"] = dataclasses.replace(
    _PRESETS["pendulum"], discount=0.97, decay=0.9, envs=8, length=128, falling=True
)


def place(task: str) -> str:
    """A task's name among those that something is known of; Gymnasium's and ours of the same name are the same.

    >>> place("gymnasium:CartPole-v1"), place("rig.py:Pendulum")
    ('cartpole-v1', 'rig.py:pendulum')
    """
    return task.removeprefix("gymnasium:").lower()


def preset(task: str) -> Preset:
    """What a task asks for, by its name.

    >>> preset("gymnasium:CartPole-v1").steps
    100000
    """
    return _PRESETS.get(place(task), Preset())


def on_host(learner: AbstractPolicyLearner) -> AbstractPolicyLearner:
    """The same learner with one environment, which has the steps of all; trials that must be whole stay many."""
    if learner.episodic or learner.envs == 1:
        return learner
    if isinstance(learner, DynaQ):
        return dataclasses.replace(learner, learner=on_host(learner.learner))
    return dataclasses.replace(learner, envs=1, length=learner.envs * learner.length)


def bins_per_dim(task: Task) -> int | None:
    """Values to choose from in each continuous entry, where a method chooses among finitely many actions."""
    return None if task.categorical else 5 if task.action_size == 1 else 3


def _settings(preset: Preset) -> dict[str, Any]:
    return {
        "advantages": GAE(preset.discount, preset.decay),
        "nets": Nets(standardise=preset.standardise),
        "scale_rewards": preset.scale_rewards,
    }


def _ppo(name: str, task: Task, steps: int, surrogate: Any = None) -> PPO:
    told = preset(name)
    batch = told.envs * told.length
    return PPO(
        envs=told.envs,
        length=told.length,
        epochs=told.epochs,
        minibatches=max(1, batch // told.size),
        surrogate=Clipped() if surrogate is None else surrogate,
        adam=Adam(rate=told.rate, updates=max(1, steps // batch)),
        **_settings(told),
    )


def _a2c(name: str, task: Task, steps: int) -> PPO:
    told = preset(name)
    return a2c(rate=told.rate, steps=steps, **_settings(told))


def _trpo(name: str, task: Task, steps: int) -> TRPO:
    told = preset(name)
    length = max(1, told.batch // told.envs)
    region = TrustRegion(updates=max(1, steps // (told.envs * length))) if told.falling else TrustRegion()
    return TRPO(envs=told.envs, length=length, region=region, value_epochs=20, **_settings(told))


def _reinforce(name: str, task: Task, steps: int) -> Reinforce:
    told = preset(name)
    return Reinforce(envs=4, length=task.horizon, discount=told.discount, nets=Nets(standardise=told.standardise))


def _dqn(name: str, task: Task, steps: int) -> DQN:
    told = preset(name)
    learner = DQN(bins_per_dim=None if task.categorical else 7, discount=min(told.discount + 0.05, 0.99))
    gradients = max(1, steps * learner.gradient_steps // (learner.envs * learner.length))
    return dataclasses.replace(learner, lr_decay_steps=gradients, exploration_steps=min(told.exploration, steps // 6))


def counting(name: str, task: Task) -> DPAgent:
    """Dynamic programming on counts, for a task that a grid is known for."""
    optimism = 33.0 if place(name).startswith("cartpole-swingup") else 0.0  # more than can be had, discounted
    return DPAgent(grid_of(place(name)), bins_per_dim=None if task.categorical else 3, unvisited=optimism)


def _tabular(name: str, task: Task) -> dict[str, Any]:
    """How values on a grid are learned: where nothing is paid until the end is found, by optimism instead of chance."""
    if place(name).startswith("cartpole-swingup"):
        return {"bins_per_dim": 3, "initial": 25.0, "rate": 0.3, "exploration_steps": 0, "epsilon": 0.01}
    return {"bins_per_dim": bins_per_dim(task)}


def _by_tiles(rule: AbstractRule) -> Make:
    def make(name: str, task: Task, steps: int) -> TemporalDifference:
        return TemporalDifference(features=tiles_of(place(name)), rule=rule, **_tabular(name, task))

    return make


def _dyna(name: str, task: Task, steps: int) -> DynaQ:
    learner = TemporalDifference(features=Cells(grid_of(place(name))), **_tabular(name, task))
    return DynaQ(learner=learner)  # pyright: ignore[reportCallIssue] -- its sizes are the learner's


MAKERS: dict[str, Make] = {
    "sarsa": _by_tiles(Sarsa()),  # pyright: ignore[reportCallIssue] -- a class says whether it waits
    "expected-sarsa": _by_tiles(ExpectedSarsa()),  # pyright: ignore[reportCallIssue] -- a class says whether it waits
    "q-learning": _by_tiles(QLearning()),  # pyright: ignore[reportCallIssue] -- a class says whether it waits
    "dyna-q": _dyna,
    "dqn": _dqn,
    "reinforce": _reinforce,
    "a2c": _a2c,
    "trpo": _trpo,
    "ppo": _ppo,
    "ppo-penalty": lambda name, task, steps: _ppo(name, task, steps, Penalised()),
}
