"""The loop of learners that need many steps: in place of a trial, a round of so many updates."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray

from handful.policies.base import AbstractPolicy
from handful.policies.learner import AbstractPolicyLearner
from handful.training.collect import nothing
from handful.training.loop import Observer, Tally, Trial
from handful.training.practice import Round, interaction
from handful.training.run import Row
from handful.training.system import System

FILMED = 10  # [rounds] between two films: drawing a trial may take longer than a round


@dataclasses.dataclass(frozen=True)
class PolicyLearning:
    """A learner of policies, and how many updates make a round."""

    learner: AbstractPolicyLearner
    updates: int


class Rounds:
    """Runs a learner of policies on a system, round by round. It keeps the promises of `Loop`.

    The return of a round is the mean over the trials that ended in it, noise of exploring included. Round 0 is what the
    untrained policy does in one trial. A simulator shows for each round a trial under what was learned, without that
    noise; it teaches nothing, and its steps are not counted. A system on the host shows the first trial of the round,
    and takes no step that is not learned from, round 0 apart. Where no trial ended, the round has the return of the
    one shown.
    """

    def __init__(
        self, system: System, learner: AbstractPolicyLearner, key: PRNGKeyArray, *, trials: int, updates: int
    ) -> None:
        self.system, self.agent, self.key, self.updates = system, learner, key, updates
        self.trials, self.piece = trials, system.task.horizon
        self.practice = interaction(system, learner)

    @property
    def steps(self) -> int:
        """Of interaction in a round, at most."""
        return self.updates * self.agent.envs * self.agent.length

    def init(self) -> Any:
        """The state before round 0."""
        return self.practice.init(jax.random.fold_in(self.key, 0))

    def policy(self, state: Any) -> AbstractPolicy:
        """What was learned."""
        return self.agent.policy(state.learner)

    def header(self, state: Any) -> dict[str, Any]:
        """What a checkpoint must say of a state so that `like` can make its equal in structure."""
        return {}

    def like(self, header: dict[str, Any]) -> Any:
        return self.init()

    def grown(self, state: Any) -> Any:
        """The state with room for all rounds: it needs none."""
        return state

    def films(self, index: int) -> bool:
        """Whether a round is worth filming: every tenth, and the last."""
        return index % FILMED == 0 or index == self.trials

    def trial(self, index: int, state: Any, rows: list[Row], observer: Observer) -> tuple[Any, Trial]:
        """Run round `index` after those in `rows`."""
        done = Round()
        show_key, key = self.keys(index)
        if index > 0:

            def watch(done: Round) -> None:
                observer.stepped(index, done.steps, done.return_, None, 1e3 * done.seconds / max(done.steps, 1))

            state, done = self.practice.round(key, state, self.updates, watch)
        trial = self.finished(index, show_key, state, done, rows)
        observer.finished(trial)
        return state, trial

    def keys(self, index: int) -> Key[Array, "2"]:
        """The keys of round `index`: for the trial that is shown, for learning (the same in all rounds)."""
        show_key = jax.random.fold_in(self.key, index + 1)
        return jax.numpy.stack([show_key, self.key])

    def finished(self, index: int, key: PRNGKeyArray, state: Any, done: Round, rows: list[Row]) -> Trial:
        """The record of a round after those in `rows`."""
        before = rows[-1] if rows else None
        shown = done.shown or self._shown(key, state)
        row = Row(
            trial=index,
            env_steps=done.steps + (before.env_steps if before else 0),
            return_=done.return_ if done.trials else float(shown["reward"].sum()),
            planned_return=None,
            model_nll=None,
            model_rmse=None,
            plan_ms_p50=None,
            plan_ms_p99=None,
            fit_s=done.learning_s,
            wall_s=done.seconds + (before.wall_s if before else 0.0),
        )
        told = {f"told_{name}": values for name, values in done.logged().items()}
        return Trial(row, shown | {"step_ms": np.array([1e3 * done.seconds / max(done.steps, 1)])} | told, None)

    def _shown(self, key: PRNGKeyArray, state: Any) -> dict[str, np.ndarray]:
        """A trial under what was learned."""
        tally, policy, over = Tally(), self.policy(state), False
        self.system.start(key, policy)
        while not over:
            piece, over = self.system.advance(policy, steps=self.piece, watch=nothing)
            tally.add(jax.tree.map(np.asarray, piece), seconds=0.0)
        return tally.arrays(self.piece)
