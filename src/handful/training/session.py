"""A run: the loop and the folder that keeps it, from the first stage or from wherever it stopped."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handful.agent import AbstractAgent
from handful.envs.registry import info_of
from handful.errors import InputError
from handful.policies.simple import ConstantPolicy, UniformPolicy
from handful.training.files import plain, sweep
from handful.training.film import keep_film
from handful.training.host import Hosted
from handful.training.journal import Journal
from handful.training.loop import Loop, Observer, Stage
from handful.training.machine import CompileClock
from handful.training.model_metrics import fitted_parameters
from handful.training.run import Row, RunFolder
from handful.training.system import Simulated, System, returns_of
from handful.training.tally import whole_trial

BASELINE_EPISODES = 10
OTHER_DEVICES = (
    "The run was made on {} devices and goes on with {}: its numbers will differ in their last digits from those of an "
    "uninterrupted run."
)


class Session:
    """One sitting of a run. `train` continues after the last stage that is safe in the folder.

    Of `config` it reads `task`, `agent` (the name for the record), `seed`, `trials` (stages after stage 0) and
    `updates` (in a round; None for agents that learn trial by trial).
    """

    def __init__(self, folder: RunFolder, system: System, agent: AbstractAgent, config: dict[str, Any]) -> None:
        self.folder, self.system, self.agent, self.config = folder, system, agent, config
        self.seed: int = config["seed"]
        self.notes: tuple[str, ...] = ()  # sentences that a person should read
        self.loop = loop_of(self, [self.seed])
        self.state, self.rows = self._restored()

    @property
    def done(self) -> int:
        return len(self.rows)

    def train(self, observer: Observer) -> None:
        """Run the stages that are left."""
        train({self.seed: self}, observer)

    def tidy(self) -> None:
        """Mend what a crash may have left: files half written, metrics without the last stage."""
        sweep(self.folder.path)
        if self.rows:
            self.folder.write_metrics(self.rows)

    def keep(self, state: Any, stage: Stage) -> None:
        """Save a finished stage, and continue from it."""
        self.state = state
        self.rows.append(stage.row)
        self.folder.save_trial(stage.row.trial, stage.arrays)
        if isinstance(self.system, Hosted):
            keep_film(self.folder.path, self.system.film, self.rows, self.system.task.dt)
        if not self.folder.config_path.exists():  # the folder has been removed meanwhile: what was done is kept
            self.folder.write_config(self.config)
        facts = {"capacity": self.loop.capacity, "devices": jax.device_count()}
        self.folder.save_state(state, self.rows, config=plain(self.config), **facts)
        if isinstance(self.system, Hosted) and self.system.journal is not None:
            self.system.journal.drop()

    def evaluate(self, seed: int, episode: int) -> float:
        """The return of one fresh trial of the learned controller; nothing is learned from it."""
        key = jax.random.fold_in(jax.random.key(seed), episode)
        return whole_trial(self.system, key, self.loop.policy(self.state), self.loop.schedule.piece).return_

    def summarise(self, clock: CompileClock, *, interrupted: bool = False) -> None:
        """Write `summary.json`, with facts about the machine and this sitting; without baselines if interrupted."""
        returns = [row.return_ for row in self.rows]
        solved = info_of(self.config["task"]).solved_return
        reached = [row.trial for row in self.rows if solved is not None and row.return_ >= solved]
        parameters = fitted_parameters(self.agent.model(self.state.agent)) if self.done > 1 else {}
        self.folder.write_summary(
            {
                "task": self.config["task"],
                "agent": self.config["agent"],
                "seed": self.seed,
                "trials": max(self.done - 1, 0),
                "env_steps": self.rows[-1].env_steps if self.rows else 0,
                "returns": returns,
                "best_return": max(returns, default=None),
                "last_return": returns[-1] if returns else None,
                "solved_return": solved,
                "solved_at_trial": reached[0] if reached else None,
                "wall_s": self.rows[-1].wall_s if self.rows else 0.0,
                **({} if interrupted else {"baselines": self._baselines()}),
                **({"parameters": parameters} if parameters else {}),
                **clock.facts(),
            }
        )

    def _restored(self) -> tuple[Any, list[Row]]:
        if not self.folder.state_path.exists():
            if self.folder.metrics_path.exists():  # which are written after the first state
                raise InputError(
                    f"{self.folder.state_path} is missing, and what was learned with it; restore it, or start a new run"
                )
            return self.loop.init(self.seed), []
        header = self.folder.state_header()
        self.folder.check_config(plain(self.config))
        before, now = header.get("devices"), jax.device_count()
        if before not in {None, now}:
            self.notes += (OTHER_DEVICES.format(before, now),)
        like = self.loop.init(self.seed, header["capacity"])
        state, rows = self.folder.load_state(like)
        return self.loop.reserve(state, self.loop.capacity), rows

    def _baselines(self) -> dict[str, list[float]]:
        """Returns without learning; only where a trial costs nothing."""
        if not isinstance(self.system, Simulated):
            return {}
        task = self.system.task
        zero = jnp.clip(jnp.zeros(task.action_size), task.low, task.high)
        policies = {"zero action": ConstantPolicy(zero), "random": UniformPolicy.of(task)}
        keys = jax.random.split(jax.random.key(self.seed + 1), BASELINE_EPISODES)
        return {
            name: np.asarray(returns_of(keys, self.system.env, policy)).tolist() for name, policy in policies.items()
        }


def train(sessions: Mapping[int, Session], observer: Observer) -> None:
    """Run the stages that any seed lacks, all seeds at once. Each is saved, seed by seed, before the next begins.

    Killed between two seeds, some have a stage that others lack: it is run again for all, and those keep theirs.
    """
    any_ = next(iter(sessions.values()))
    for session in sessions.values():
        session.tidy()
    loop, last, hosted = loop_of(any_, list(sessions)), any_.config["trials"], isinstance(any_.system, Hosted)
    journal = Journal(any_.folder.path / "checkpoints", any_.system.task) if hosted else None
    try:
        for index in range(min(session.done for session in sessions.values()), last + 1):
            if isinstance(any_.system, Hosted) and journal is not None:
                any_.system.filming, any_.system.journal = loop.films(index), journal
                journal.begin()
            states = {seed: session.state for seed, session in sessions.items()}
            rows = {seed: session.rows for seed, session in sessions.items()}
            loop.stage(index, states, rows, observer, lambda seed, state, stage: sessions[seed].keep(state, stage))
    except InputError as error:
        kept = None if journal is None else journal.end()
        if kept is None:
            raise
        raise InputError(f"{error}; the steps up to there are kept in {kept}") from error
    finally:
        if journal is not None:
            journal.end()


def loop_of(session: Session, seeds: list[int]) -> Loop:
    """The loop that a session's configuration describes, for these seeds."""
    config = session.config
    return Loop(session.system, session.agent, seeds, stages=config["trials"], updates=config.get("updates"))
