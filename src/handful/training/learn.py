"""Learning from Python, in one call."""

import dataclasses
from typing import Any

import jax

from handful.agents.base import AbstractAgent
from handful.envs.base import AbstractEnv
from handful.models.base import AbstractDynamics, FitReport
from handful.planning.mpc import forecast_of
from handful.policies.base import AbstractPolicy
from handful.training.loop import Loop, LoopState, Trial
from handful.training.system import system_for


class Silent:
    """An observer that says nothing."""

    def fitting(self, trial: int) -> None: ...
    def fitted(self, trial: int, report: FitReport, seconds: float) -> None: ...
    def stepped(self, trial: int, steps: int, return_: float, planned: float | None, step_ms: float) -> None: ...
    def finished(self, trial: Trial) -> None: ...


@dataclasses.dataclass(frozen=True)
class Learned:
    """What a run leaves in memory."""

    model: AbstractDynamics
    policy: AbstractPolicy
    trials: list[Trial]
    state: LoopState

    @property
    def returns(self) -> list[float]:
        """The return of each trial, the random one first."""
        return [trial.row.return_ for trial in self.trials]


def learn(env: AbstractEnv | Any, agent: AbstractAgent, *, trials: int, seed: int = 0) -> Learned:
    """One random trial, then `trials` controlled ones, each after a fit.

    >>> from handful import CEM, LinearLearner, MPCAgent, PointMass, TSInf
    >>> agent = MPCAgent(LinearLearner(), CEM(horizon=5, candidates=20, elites=4, iterations=1), TSInf(3))
    >>> learned = learn(PointMass(), agent, trials=1, seed=3)
    >>> len(learned.returns)
    2
    """
    system = system_for(env)
    loop = Loop(system, agent, jax.random.key(seed), trials=trials, watch=forecast_of)
    state, done = loop.init(), []
    for index in range(trials + 1):
        state, trial = loop.trial(index, state, [t.row for t in done], Silent())
        done.append(trial)
    return Learned(agent.model(state.agent), agent.policy(system.task, state.agent), done, state)
