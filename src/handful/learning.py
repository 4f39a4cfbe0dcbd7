"""Learning from Python, in one call."""

import dataclasses
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from handful.agent import AbstractAgent
from handful.models.base import AbstractDynamics
from handful.policies.base import AbstractPolicy
from handful.training.host import Hosted
from handful.training.lock import locked
from handful.training.loop import Loop, Observer, Stage
from handful.training.rounds import rounds_for
from handful.training.run import RunFolder
from handful.training.system import System, facts_of, system_for
from handful.user_code import absolute
from handful.version import __version__


@dataclasses.dataclass(frozen=True)
class Learned:
    """The learned policy and model, and every stage of the run."""

    model: AbstractDynamics | None  # None for agents that learn none
    policy: AbstractPolicy  # without exploration
    trials: list[Stage]
    state: Any  # the agent's

    @property
    def returns(self) -> list[float]:
        """The return of each trial, the random one first; in rounds, the mean of each one's trials."""
        return [trial.row.return_ for trial in self.trials]


def learn(
    env: Any,
    agent: AbstractAgent,
    *,
    trials: int = 8,
    steps: int = 200_000,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = False,
) -> Learned:
    """Learn a task, given by name, as an `AbstractEnv` or as a `gymnasium.Env`.

    Agents that learn trial by trial (PETS, MPC, PILCO, MBPO ...) have one random trial, then `trials` controlled ones.
    Others (PPO, DQN ...) have `steps` steps of interaction, in up to 50 rounds. `out` names a run folder to write, with
    the report, as `handful train` does; `progress` shows the same progress.

    >>> from handful import CEM, LinearLearner, MPCAgent, PointMass, TSInf
    >>> agent = MPCAgent(LinearLearner(), CEM(horizon=5, candidates=20, elites=4, iterations=1), TSInf(3))
    >>> learned = learn(PointMass(), agent, trials=1, seed=3)
    >>> len(learned.returns)
    2

    Raises `InputError` if the agent does not fit the task, or `out` already holds a run.
    """
    from handful.envs.loading import as_env

    name, system = name_of(env), system_for(as_env(env))
    folder = None if out is None else Path(out)
    with closing(system) if isinstance(env, str) else nullcontext():  # one that was given is not ours to close
        stages, updates = trials, None
        if not agent.trial_by_trial:
            stages, updates = rounds_for(agent, system.task, steps, on_host=isinstance(system, Hosted))
        loop = Loop(system, agent, [seed], stages=stages, updates=updates)
        with _shown(folder, name, loop) if progress else nullcontext(Observer()) as observer:
            if folder is None:
                state, done = _in_memory(loop, seed, observer)
            else:
                config = {
                    "handful": __version__,
                    "task": name,
                    "agent": type(agent).__name__,
                    "seed": seed,
                    "trials": stages,
                    "updates": updates,
                    "system": facts_of(system),
                }
                state, done = _in_folder(RunFolder.create(folder, config), system, agent, config, observer)
        return Learned(agent.model(state.agent), agent.policy(system.task, state.agent), done, state.agent)


def name_of(env: Any) -> str:
    """The name of an environment for the record; that of a user's file holds in every directory."""
    if isinstance(env, str):
        return absolute(env)
    spec = getattr(env, "spec", None)
    return f"gymnasium:{spec.id}" if spec is not None else type(env).__name__


def _shown(folder: Path | None, name: str, loop: Loop) -> Any:
    from handful.training.progress import ROUNDS, TRIALS, observer_for

    words = TRIALS if loop.agent.trial_by_trial else ROUNDS
    return observer_for(folder, name, loop.last, loop.schedule.steps, words=words)


def _in_memory(loop: Loop, seed: int, observer: Observer) -> tuple[Any, list[Stage]]:
    state, done = loop.init(seed), []
    for index in range(loop.last + 1):
        rows = [stage.row for stage in done]
        state, stage = loop.stage(index, {seed: state}, {seed: rows}, observer)[seed]
        done.append(stage)
    return state, done


def _in_folder(
    folder: RunFolder, system: System, agent: AbstractAgent, config: dict[str, Any], observer: Observer
) -> tuple[Any, list[Stage]]:
    from handful.reports.run_report import write_report
    from handful.training.machine import CompileClock
    from handful.training.session import Session

    with locked(folder.path):
        clock, session = CompileClock(), Session(folder, system, agent, config)
        session.train(observer)
        session.summarise(clock)
    write_report(folder)
    return session.state, [Stage(row, folder.trial(row.trial)) for row in session.rows]
