"""The loop: stage after stage, act, learn and record, for one seed or for many side by side.

A stage is one trial for agents that learn trial by trial, and a round of so many updates for the others. Stage 0 comes
before anything is learned.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from handful.agent import AbstractAgent
from handful.policies.base import AbstractPolicy
from handful.training.rounds import RoundByRound
from handful.training.run import Row
from handful.training.seeds import Seeds
from handful.training.system import System
from handful.training.tally import Recorded, Tally
from handful.training.trials import TrialByTrial


@dataclasses.dataclass(frozen=True)
class Stage:
    """A finished stage of one seed: its row of the metrics, and arrays for the record."""

    row: Row
    arrays: Recorded


class Observer:
    """Watches a run; this one shows nothing. Mappings are from seeds."""

    def fitting(self, stage: int) -> None: ...
    def fitted(self, stage: int, metrics: Mapping[int, Recorded], seconds: float) -> None: ...
    def stepped(self, stage: int, tallies: Mapping[int, Tally], step_ms: float) -> None: ...
    def finished(self, stages: Mapping[int, Stage]) -> None: ...


class Loop:
    """Runs an agent on a system, for one seed or, on a pure environment, for several in one compiled program.

    Every random choice of stage k of a seed comes from the seed and k (in rounds, from the number of the update), so a
    run that continues from a checkpoint does what the uninterrupted one would have done.

    Raises `InputError` if the agent does not fit the system.
    """

    def __init__(
        self, system: System, agent: AbstractAgent, seeds: Sequence[int], *, stages: int, updates: int | None = None
    ) -> None:
        self.system, self.agent, self.last = system, agent, stages
        self.seeds = Seeds(seeds)
        self.keys = {seed: jax.random.key(seed) for seed in seeds}
        self.schedule: TrialByTrial | RoundByRound = (
            TrialByTrial(system, agent, self.seeds)
            if agent.trial_by_trial
            else RoundByRound(system, agent, self.seeds, updates or 1)
        )
        self.capacity = self.schedule.capacity(stages)  # transitions

    def init(self, seed: int, capacity: int | None = None) -> Any:
        """The state before stage 0, with room for all stages unless `capacity` says otherwise."""
        return self.reserve(self.schedule.init(jax.random.fold_in(self.keys[seed], 0)), capacity or self.capacity)

    def reserve(self, state: Any, capacity: int) -> Any:
        """The state with room for `capacity` transitions."""
        return eqx.tree_at(lambda s: s.agent, state, self.agent.reserve(state.agent, capacity))

    def films(self, index: int) -> bool:
        """True if the trial of stage `index` is to be filmed where it cannot be drawn later."""
        return index % self.schedule.film_every == 0 or index == self.last

    def policy(self, state: Any) -> AbstractPolicy:
        """The controller as learned so far."""
        return self.agent.policy(self.system.task, state.agent)

    def stage(
        self,
        index: int,
        states: Mapping[int, Any],
        rows: Mapping[int, list[Row]],
        observer: Observer,
        keep: Callable[[int, Any, Stage], None] | None = None,
    ) -> dict[int, tuple[Any, Stage]]:
        """Run stage `index`: new states and records of the seeds that lack it, by what `rows` hold.

        `keep(seed, state, stage)` saves what has happened; it is called before the observer hears of it.

        Raises `InputError` if a seed meets what is not finite; none of them has the stage then.
        """
        going = [seed for seed in self.seeds.seeds if len(rows[seed]) == index]
        ran = self.schedule.run(index, self.keys, states, going, observer)
        done = {seed: (state, _record(index, tally, rows[seed])) for seed, (state, tally) in ran.items()}
        for seed, (state, stage) in done.items():
            if keep is not None:
                keep(seed, state, stage)
        observer.finished({seed: stage for seed, (_, stage) in done.items()})
        return done


def _record(index: int, tally: Tally, rows: list[Row]) -> Stage:
    """The record of a stage after those in `rows`."""
    before, updates = rows[-1] if rows else None, tally.of_updates()
    means: dict[str, float | None] = {
        name: float(np.mean(values)) for name, values in updates.items() if values.ndim == 1
    }
    row = Row(
        trial=index,
        env_steps=tally.steps + (before.env_steps if before else 0),
        return_=tally.return_,
        metrics=tally.metrics | means,
        fit_s=tally.learning_s,
        wall_s=tally.seconds + (before.wall_s if before else 0.0),
    )
    return Stage(row, tally.arrays | {f"update_{name}": values for name, values in updates.items()})
