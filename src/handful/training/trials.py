"""Trial by trial: learn from the last trial, then act in the next one."""

import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PRNGKeyArray

from handful.agent import AbstractAgent, Metrics
from handful.devices import undivided
from handful.policies.base import AbstractPolicy
from handful.task import Task
from handful.training.host import init_agent
from handful.training.model_metrics import trial_metrics
from handful.training.rollout import Piece
from handful.training.seeds import Seeds, Spread, to_host
from handful.training.system import System
from handful.training.tally import Tally, joined
from handful.types import Batch, Transition

PIECE = 10  # [steps] at most between two looks at a trial in progress


class TrialLoopState(eqx.Module):
    """With it and the configuration, the next trial is determined to the last bit."""

    agent: Any
    pending: Batch  # what the agent has not learned from yet: the last trial, or its last `num_steps` steps


class TrialByTrial:
    """The loop's way to run agents that learn from one trial before they act in the next.

    The last trial is learned from at the start of the next one: so it is saved before anything else happens, and no
    update is spent on a run that ends.
    """

    film_every = 1

    def __init__(self, system: System, agent: AbstractAgent, seeds: Seeds) -> None:
        self.system, self.seeds, self.task = system, seeds, system.task
        self.agent = undivided(agent) if seeds.spread.many else agent
        self.steps = self.task.horizon  # of a trial, at most
        every = agent.num_steps or self.steps
        self.piece = max(size for size in range(1, PIECE + 1) if every % size == 0)
        self.rows = -(-self.steps // self.piece) * self.piece  # of a trial, padded
        self._warm = False

    def capacity(self, stages: int) -> int:
        """Transitions of a run of trials 0 to `stages`, with room for a padded batch behind them."""
        return (stages + (1 if self.agent.num_steps is None else 2)) * self.rows

    def init(self, key: PRNGKeyArray) -> TrialLoopState:
        return TrialLoopState(init_agent(key, self.agent, self.task), self._batch([]))

    def run(
        self, index: int, keys: Mapping[int, Any], states: Mapping[int, Any], going: list[int], observer: Any
    ) -> dict[int, tuple[TrialLoopState, Tally]]:
        """Trial `index` of all seeds: new states and tallies of those in `going`; the others fill their places."""
        seeds, every, steps, left = self.seeds, self.agent.num_steps, 0, list(going)
        tallies, after = {seed: Tally() for seed in going}, {}
        # Keys of the trial: for acting, for learning, for scoring the model.
        each = {seed: jax.random.split(jax.random.fold_in(key, index + 1), 3) for seed, key in keys.items()}
        act_keys, learn_keys = (seeds.stack({seed: own[place] for seed, own in each.items()}) for place in (0, 1))
        stacked = seeds.stack(states)
        agents = stacked.agent

        def updated(batches: Batch) -> Any:
            observer.fitting(index)
            began, how = time.perf_counter(), {"steps": jnp.asarray(steps), "spread": seeds.spread}
            new = jax.block_until_ready(_update(learn_keys, self.agent, self.task, agents, batches, **how))
            new, metrics = to_host(new) if seeds.spread.many else new
            seconds = time.perf_counter() - began
            found = {seed: to_host(seeds.of(metrics, seed)) for seed in left}
            for seed, own in found.items():
                tallies[seed].add_update({name: value[None] for name, value in own.items()}, seconds)
            observer.fitted(index, found, seconds)
            return new

        if index > 0:
            agents = updated(stacked.pending)
        drivers, unlearned = agents, {seed: [] for seed in seeds.seeds}
        self.system.start(act_keys, agents, eqx.Partial(actor_of, self.agent, self.task, explores=index == 0), seeds)
        while left:
            if every and index > 0 and steps and steps % every == 0:
                agents = updated(seeds.stack({seed: self._batch(pieces) for seed, pieces in unlearned.items()}))
                unlearned = {seed: [] for seed in unlearned}
            began = time.perf_counter()
            stacked, over = self.system.advance(agents, steps=self.piece, checked=left)
            seconds, pieces = time.perf_counter() - began - self.system.drawing_s, to_host(stacked)
            steps += self.piece
            for seed in left:
                tallies[seed].add_piece(seeds.of(pieces, seed), seconds)
            for seed, own in unlearned.items():
                own.append(seeds.of(pieces, seed))
            observer.stepped(index, tallies, 1e3 * seconds / self.piece)
            for seed in [seed for seed in left if seeds.of(over, seed)]:
                left.remove(seed)
                after[seed] = TrialLoopState(seeds.of(agents, seed), self._batch(unlearned[seed]))
        for seed, tally in tallies.items():
            self._conclude(index, each[seed][2], seeds.of(drivers, seed), tally)
        self._warm |= index > 0
        return {seed: (after[seed], tally) for seed, tally in tallies.items()}

    def _conclude(self, index: int, key: PRNGKeyArray, driver: Any, tally: Tally) -> None:
        """Add arrays and metrics of a trial that is over; `driver` is the state of the agent that drove it."""
        if index > 0 and not self._warm:  # the first call compiled: that is no planning time
            tally.step_ms = tally.step_ms[1:] or tally.step_ms
        tally.arrays = tally.trial()
        if index > 0:
            trial, model = joined(tally.pieces, self.rows), self.agent.model(driver)
            tally.metrics, arrays = trial_metrics(key, model, trial, self.task)
            tally.metrics |= {f"plan_ms_p{share}": float(np.percentile(tally.step_ms, share)) for share in (50, 99)}
            tally.arrays |= arrays

    def _batch(self, pieces: list[Piece]) -> Batch:
        """Pieces as a batch of one environment, padded to the rows of a trial."""
        task, no = self.task, jnp.asarray(np.zeros(0, bool))
        obs, action, reward = (
            jnp.asarray(np.zeros(shape, task.low.dtype)) for shape in ((0, task.obs_size), (0, task.action_size), 0)
        )
        empty = Piece(Transition(obs, action, reward, obs, no, no), no, {})
        plain = [eqx.tree_at(lambda p: p.info, piece, {}) for piece in pieces]
        whole = jax.tree.map(lambda leaf: jnp.asarray(leaf[:, None]), joined([empty, *plain], self.rows))
        return Batch(whole.transitions, whole.valid)


def actor_of(agent: AbstractAgent, task: Task, key: PRNGKeyArray, state: Any, *, explores: bool) -> AbstractPolicy:
    """Who acts in a trial: the explorer in the first one, if the agent has one, and its actor otherwise."""
    explorer = agent.explorer(jax.random.fold_in(key, task.horizon + 1), task) if explores else None
    return agent.actor(task, state) if explorer is None else explorer


@eqx.filter_jit
def _update(
    keys: Key[Array, "*s"], agent: AbstractAgent, task: Task, agents: Any, batches: Batch,
    *, steps: Int[Array, ""], spread: Spread,
) -> tuple[Any, Metrics]:  # fmt: skip
    def one(key: Key[Array, ""], state: Any, batch: Batch) -> tuple[Any, Metrics]:
        key = jnp.where(steps > 0, jax.random.fold_in(key, steps), key)
        return agent.update(key, task, state, batch)

    return spread(one, keys, agents, batches)
