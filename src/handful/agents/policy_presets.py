"""Learners of policies by name, set for a task: ours, or what the field has found to work."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from handful.policies.learner import AbstractPolicyLearner
from handful.policy_optimization.actor_critic import a2c
from handful.policy_optimization.base import Nets
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.reinforce import Reinforce
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.steps import Adam
from handful.policy_optimization.surrogate import Clipped, Penalised
from handful.policy_optimization.trpo import TRPO
from handful.task import Task


@dataclass(frozen=True)
class Preset:
    """What a task asks of every method."""

    steps: int = 200_000  # of interaction that a run has, unless it is told otherwise
    discount: float = 0.99
    decay: float = 0.95  # of generalised advantages
    envs: int = 8  # side by side, where the environment can be copied; on the host all their steps fall to one
    length: int = 128  # [steps] of each between two updates
    standardise: bool = True  # inputs
    scale_rewards: bool = True
    rate: float = 1e-3  # of PPO, falling to zero over the run
    epochs: int = 10
    size: int = 128  # of a minibatch


_MUJOCO = Preset(steps=1_000_000, envs=1, length=2048, rate=3e-4, size=64)
_PRESETS = {
    "cartpole-v1": Preset(
        100_000, 0.98, 0.8, envs=8, length=32, standardise=False, scale_rewards=False, epochs=20, size=256
    ),
    "acrobot-v1": Preset(500_000, envs=16, length=64, scale_rewards=False),
    "pendulum": Preset(150_000, 0.9, envs=4, length=256, scale_rewards=False, size=64),
    "cartpole-swingup": Preset(400_000, envs=8, length=200),
    "mountain-car-continuous-v0": Preset(200_000, 0.999, envs=8, length=128),
    "invertedpendulum-v5": Preset(500_000, envs=1, length=2048, rate=3e-4, size=64),
    **{f"{name}-v5": _MUJOCO for name in ("halfcheetah", "hopper", "walker2d", "swimmer")},
}
_PRESETS["pendulum-v1"] = _PRESETS["pendulum"]


def preset(task: str) -> Preset:
    """What a task asks for, by its name; Gymnasium's and ours of the same name are the same.

    >>> preset("gymnasium:CartPole-v1").steps
    100000
    """
    return _PRESETS.get(task.rsplit(":", 1)[-1].lower(), Preset())


Make = Callable[[Preset, Task, int], AbstractPolicyLearner]  # for so many steps of interaction


def on_host(learner: AbstractPolicyLearner) -> AbstractPolicyLearner:
    """The same learner with one environment, which has the steps of all; trials that must be whole stay many."""
    if learner.whole_trials or learner.envs == 1:
        return learner
    return dataclasses.replace(learner, envs=1, length=learner.envs * learner.length)


def _settings(preset: Preset) -> dict[str, Any]:
    return {
        "advantages": GAE(preset.discount, preset.decay),
        "nets": Nets(standardise=preset.standardise),
        "scale_rewards": preset.scale_rewards,
    }


def _ppo(preset: Preset, task: Task, steps: int, surrogate: Any = None) -> PPO:
    batch = preset.envs * preset.length
    return PPO(
        envs=preset.envs,
        length=preset.length,
        epochs=preset.epochs,
        minibatches=max(1, batch // preset.size),
        surrogate=Clipped() if surrogate is None else surrogate,
        adam=Adam(rate=preset.rate, updates=max(1, steps // batch)),
        **_settings(preset),
    )


def _a2c(preset: Preset, task: Task, steps: int) -> PPO:
    return a2c(rate=preset.rate, **_settings(preset))


def _trpo(preset: Preset, task: Task, steps: int) -> TRPO:
    length = max(1, 1024 // preset.envs) if preset.envs > 1 else preset.length
    return TRPO(envs=preset.envs, length=length, **_settings(preset))


def _reinforce(preset: Preset, task: Task, steps: int) -> Reinforce:
    return Reinforce(length=task.horizon, discount=preset.discount, nets=Nets(standardise=preset.standardise))


MAKERS: dict[str, Make] = {
    "reinforce": _reinforce,
    "a2c": _a2c,
    "trpo": _trpo,
    "ppo": _ppo,
    "ppo-penalty": lambda preset, task, steps: _ppo(preset, task, steps, Penalised()),
}
