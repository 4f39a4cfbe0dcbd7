"""Round by round: a stage is so many updates, each after `num_steps` steps in `num_envs` environments."""

import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray

from handful.agent import AbstractAgent
from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.interaction import TrainState, UpdateMetrics, init, train_steps
from handful.task import Task
from handful.training.host import Hosted, OnHost
from handful.training.seeds import Seeds, Spread, to_host
from handful.training.system import System
from handful.training.tally import Tally, whole_trial

STEPS_PER_CALL = 4096  # [steps] of interaction, about, between two looks at a round in progress
UPDATES, SHOWN = 1, 2  # what keys are for; 0 is the agent's first state
ROUNDS = 50  # that the steps of a run are divided into, or fewer if an update takes more steps than that


class RoundByRound:
    """The loop's way to run agents that need many updates.

    The return of a round is the mean over the trials that ended in it, exploration included. Round 0 is one trial of
    the untrained policy. A simulator shows a trial of the learned policy for each round, which is not learned from and
    not counted; a system on the host shows the first trial of the round.
    """

    film_every = 10  # [rounds]: drawing a trial may take longer than a round

    def __init__(self, system: System, agent: AbstractAgent, seeds: Seeds, updates: int) -> None:
        self.system, self.agent, self.seeds, self.updates, self.task = system, agent, seeds, updates, system.task
        self.env: Any = system.env
        self.piece = system.task.horizon
        self.steps = updates * steps_per_update(agent, system.task)  # of interaction in a round, at most
        self.host = OnHost(system, agent) if isinstance(system, Hosted) else None

    def capacity(self, stages: int) -> int:
        return (stages + 1) * self.steps

    def init(self, key: PRNGKeyArray) -> Any:
        return self.host.init(key) if self.host else _init(key, self.env, self.agent)

    def run(
        self, index: int, keys: Mapping[int, Any], states: Mapping[int, Any], going: list[int], observer: Any
    ) -> dict[int, tuple[Any, Tally]]:
        """Round `index` of all seeds: new states and tallies of those in `going`.

        The keys serve all rounds, since the numbers of updates are folded in; the trial that is shown has its own.
        """
        seeds, host, tallies = self.seeds, self.host, {seed: Tally() for seed in going}
        key = seeds.stack({seed: jax.random.fold_in(each, UPDATES) for seed, each in keys.items()})
        now: Any = seeds.stack(states)
        if host and index > 0:
            now = host.begin(key, now)
        calls = [1] * self.updates if host else chunks(self.agent, self.task, self.updates)
        for updates in calls if index > 0 else []:
            began = time.perf_counter()
            if host:
                now, done, seconds = host.update(key, now)
            else:
                how = {"updates": updates, "spread": seeds.spread}
                now, done = to_host(_train_steps(key, self.env, self.agent, now, **how))
                seconds = time.perf_counter() - began
            for seed, tally in tallies.items():
                own = seeds.of(done, seed)
                seeds.named(seed, check_finite, own)
                tally.add_round(own, seconds)
            first = tallies[going[0]]
            observer.stepped(index, tallies, 1e3 * first.seconds / max(first.steps, 1))
        after = {seed: seeds.of(now, seed) for seed in going}
        for seed, tally in tallies.items():
            tally.step_ms = [1e3 * tally.seconds / max(tally.steps, 1)]
            tally.arrays = self._shown(
                index, jax.random.fold_in(jax.random.fold_in(keys[seed], SHOWN), index), after[seed], tally
            )
            tally.arrays["step_ms"] = np.array(tally.step_ms)
        return {seed: (after[seed], tally) for seed, tally in tallies.items()}

    def _shown(self, index: int, key: PRNGKeyArray, state: Any, tally: Tally) -> dict[str, np.ndarray]:
        """The trial that is shown for the round, by name. Its return is that of the round if no other trial ended."""
        if self.host and index > 0:
            return self.host.shown()
        shown = whole_trial(self.system, key, self.agent.policy(self.task, state.agent), self.piece)
        if not tally.episodes:
            tally.episodes, tally.episode_return_sum = 1, shown.return_
        return shown.trial()


def steps_per_update(agent: AbstractAgent, task: Task) -> int:
    """Steps of interaction between two updates, at most."""
    return agent.num_envs * (task.horizon if agent.num_steps is None else agent.num_steps)


def rounds_for(agent: AbstractAgent, task: Task, steps: int, *, on_host: bool = False) -> tuple[int, int]:
    """The number of rounds that `steps` steps of interaction make, and the updates of each.

    A round on the host begins with resets, so it is long enough to see the end of a trial.
    """
    size = steps_per_update(agent, task)
    least = -(-task.horizon * agent.num_envs // size) if on_host else 1
    updates = max(least, round(steps / ROUNDS / size))
    return max(1, round(steps / (updates * size))), updates


def chunks(agent: AbstractAgent, task: Task, updates: int) -> list[int]:
    """Numbers of updates that are one compiled call each: as equal as can be, so at most two programs are compiled."""
    most = max(1, STEPS_PER_CALL // steps_per_update(agent, task))
    full, rest = divmod(updates, most)
    return [most] * full + ([rest] if rest else [])


def check_finite(done: UpdateMetrics) -> None:
    """Raises `InputError` if the environment gave anything that is not finite."""
    if not np.asarray(done.finite).all():
        raise InputError(
            "the environment gave an observation or reward that is not finite; correct its step or reward; what was "
            "learned before this round is kept"
        )


_init = eqx.filter_jit(init)


@eqx.filter_jit
def _train_steps(
    keys: Key[Array, "*s"], env: AbstractEnv, agent: AbstractAgent, states: TrainState, *, updates: int, spread: Spread
) -> tuple[TrainState, UpdateMetrics]:
    return spread(lambda key, state: train_steps(key, env, agent, state, updates), keys, states)
