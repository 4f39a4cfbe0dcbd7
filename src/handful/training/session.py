"""A run: the trial loop and the folder that keeps it, from the first trial or from wherever it stopped."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handful.agents.base import AbstractAgent
from handful.envs.registry import TASKS
from handful.errors import InputError
from handful.planning.mpc import forecast_of
from handful.policies.simple import ConstantPolicy, UniformPolicy
from handful.training.collect import nothing
from handful.training.files import sweep
from handful.training.film import keep_film
from handful.training.hosted import Hosted
from handful.training.loop import Loop, Observer, Trial
from handful.training.rounds import PolicyLearning, Rounds
from handful.training.run import Row, RunFolder
from handful.training.system import Simulated, System, returns_of

BASELINE_EPISODES = 10


class Session:
    """One sitting of a run. `train` goes on from the last trial that is safe in the folder."""

    def __init__(
        self, folder: RunFolder, system: System, agent: AbstractAgent | PolicyLearning, config: dict[str, Any]
    ) -> None:
        self.folder, self.system, self.config = folder, system, config
        self.key, trials = jax.random.key(config["seed"]), config["trials"]
        if isinstance(agent, AbstractAgent):
            every = config["refit_every"]
            self.loop = Loop(system, agent, self.key, trials=trials, refit_every=every, watch=forecast_of)
        else:
            self.loop = Rounds(system, agent.learner, self.key, trials=trials, updates=agent.updates)
        self.state, self.rows = self._restored()

    @property
    def title(self) -> str:
        return Path(self.config["task"]).name

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the task before it starts."""
        return getattr(self.system, "notes", ())

    @property
    def done(self) -> int:
        return len(self.rows)

    @property
    def steps(self) -> int:
        """That a trial or round has at most."""
        return self.loop.steps

    def train(self, observer: Observer) -> None:
        """Run the trials that are left. Each is safe on disk before the next begins."""
        self.tidy()
        for index in range(self.done, self.config["trials"] + 1):
            if isinstance(self.system, Hosted):
                self.system.filming = self.loop.films(index)
            self.keep(*self.loop.trial(index, self.state, self.rows, observer))

    def tidy(self) -> None:
        """Mend what a crash may have left: files half written, metrics without the last trial."""
        sweep(self.folder.path)
        if self.rows:
            self.folder.write_metrics(self.rows)

    def keep(self, state: Any, trial: Trial) -> None:
        """Make a finished trial safe on disk, and go on from it."""
        self.state = state
        self.rows.append(trial.row)
        self.folder.save_trial(trial.row.trial, trial.arrays)
        if isinstance(self.system, Hosted):
            keep_film(self.folder.path, self.system.film, self.rows, self.system.task.dt)
        self.folder.save_state(state, self.rows, **self.loop.header(state))

    def evaluate(self, seed: int, episode: int) -> float:
        """The return of one fresh trial under the controller as it stands; nothing is learned from it."""
        key = jax.random.fold_in(jax.random.key(seed), episode)
        policy = self.loop.policy(self.state)
        self.system.start(key, policy)
        total, over = 0.0, False
        while not over:
            piece, over = self.system.advance(policy, steps=self.loop.piece, watch=nothing)
            total += float(piece.transitions.reward[piece.valid].sum())
        return total

    @property
    def summarised(self) -> bool:
        """Whether `summary.json` already tells the whole of a run."""
        return self.folder.summarises(self.config["trials"])

    def summarise(self, *, interrupted: bool = False, **facts: Any) -> None:
        """Write `summary.json`, with `facts` about the machine and the sitting; without baselines if in a hurry."""
        returns = [row.return_ for row in self.rows]
        entry = TASKS.get(self.config["task"])
        solved = entry.solved if entry else None
        reached = [row.trial for row in self.rows if solved is not None and row.return_ >= solved]
        self.folder.write_summary(
            {
                "task": self.config["task"],
                "agent": self.config["agent"],
                "seed": self.config["seed"],
                "trials": max(self.done - 1, 0),
                "env_steps": self.rows[-1].env_steps if self.rows else 0,
                "returns": returns,
                "best_return": max(returns, default=None),
                "last_return": returns[-1] if returns else None,
                "solved_return": solved,
                "solved_at_trial": reached[0] if reached else None,
                "wall_s": self.rows[-1].wall_s if self.rows else 0.0,
                **({} if interrupted else {"baselines": self._baselines()}),
                **facts,
            }
        )

    def _restored(self) -> tuple[Any, list[Row]]:
        if not self.folder.state_path.exists():
            if self.folder.metrics_path.exists():  # which are written after the first state
                raise InputError(
                    f"{self.folder.state_path} is missing, and what was learned with it; restore it, or start a new run"
                )
            return self.loop.init(), []
        state, rows = self.folder.load_state(self.loop.like(self.folder.state_header()))
        state = self.loop.grown(state)
        return state, rows

    def _baselines(self) -> dict[str, list[float]]:
        """Returns without learning; only where a trial costs nothing."""
        if not isinstance(self.system, Simulated):
            return {}
        task = self.system.task
        zero = jnp.clip(jnp.zeros(task.action_size), task.low, task.high)
        policies = {"zero action": ConstantPolicy(zero), "random": UniformPolicy.of(task)}
        keys = jax.random.split(jax.random.key(self.config["seed"] + 1), BASELINE_EPISODES)
        return {
            name: np.asarray(returns_of(keys, self.system.env, policy)).tolist() for name, policy in policies.items()
        }
