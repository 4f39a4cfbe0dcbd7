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
from handful.envs.base import AbstractEnv
from handful.policies.base import AbstractPolicy
from handful.task import Task
from handful.training.rollout import Cursor, Piece, advance, begin
from handful.training.seeds import Seeds, Spread, to_host
from handful.training.system import Simulated, System, check_piece
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

    unit = "trial"

    def __init__(self, system: System, agent: AbstractAgent, seeds: Seeds) -> None:
        self.system, self.seeds, self.task = system, seeds, system.task
        self.agent = undivided(agent) if seeds.spread.many else agent
        every = agent.num_steps or self.task.horizon
        self.piece = max(size for size in range(1, PIECE + 1) if every % size == 0)
        self.rows = -(-self.task.horizon // self.piece) * self.piece  # of a trial, padded

    @property
    def steps(self) -> int:
        """Of a trial, at most."""
        return self.task.horizon

    def capacity(self, stages: int) -> int:
        """Transitions of a run of trials 0 to `stages`, with room for a padded batch behind them."""
        return (stages + (1 if self.agent.num_steps is None else 2)) * self.rows

    def init(self, key: PRNGKeyArray) -> TrialLoopState:
        return TrialLoopState(_init(key, self.agent, self.task), self.batch([]))

    def reserve(self, state: TrialLoopState, capacity: int) -> TrialLoopState:
        return TrialLoopState(self.agent.reserve(state.agent, capacity), state.pending)

    def films(self, index: int, last: int) -> bool:
        return True

    def keys(self, key: PRNGKeyArray, index: int) -> Key[Array, "3"]:
        """Keys of trial `index`: for acting, for learning, for scoring the model."""
        return jax.random.split(jax.random.fold_in(key, index + 1), 3)

    def start(self, index: int, keys: Mapping[int, Any], states: Mapping[int, Any], going: list[int]) -> "RunningTrial":
        return RunningTrial(self, index, keys, states, going)

    def batch(self, pieces: list[Piece]) -> Batch:
        """Pieces as a batch of one environment, padded to the rows of a trial."""
        task, no = self.task, jnp.asarray(np.zeros(0, bool))
        obs, action, reward = (
            jnp.asarray(np.zeros(shape, task.low.dtype)) for shape in ((0, task.obs_size), (0, task.action_size), 0)
        )
        empty = Piece(Transition(obs, action, reward, obs, no, no), no, {})
        plain = [eqx.tree_at(lambda p: p.info, piece, {}) for piece in pieces]
        whole = jax.tree.map(lambda leaf: jnp.asarray(leaf[:, None]), joined([empty, *plain], self.rows))
        return Batch(whole.transitions, whole.valid)


class RunningTrial:
    """Trial `index` of all seeds in progress. Only those in `going` are recorded; the others fill their places."""

    def __init__(
        self, loop: TrialByTrial, index: int, keys: Mapping[int, Any], states: Mapping[int, Any], going: list[int]
    ) -> None:
        self.loop, self.index, self.going, self.steps = loop, index, list(going), 0
        self.tallies = {seed: Tally() for seed in going}
        self.states: dict[int, TrialLoopState] = {}  # of seeds whose trial is over
        self.unlearned: dict[int, list[Piece]] = {seed: [] for seed in loop.seeds.seeds}
        self.act_keys, self.learn_keys = (
            loop.seeds.stack({seed: keys[seed][place] for seed in loop.seeds.seeds}) for place in (0, 1)
        )
        stacked = loop.seeds.stack(states)
        self.agents, self.pending = stacked.agent, stacked.pending

    def learn(self, observer: Any) -> None:
        """Update with what the last trial left."""
        if self.index > 0:
            self._update(self.pending, observer)

    def begin(self) -> None:
        """Reset environments and policies. The agents of this moment drive the trial, and are those that are scored."""
        self.drivers = self.agents
        explores = self.index == 0
        if isinstance(self.loop.system, Simulated):
            common = {"explores": explores, "spread": self.loop.seeds.spread}
            self.cursors = to_host(_begin(self.act_keys, self.loop.system.env, self.loop.agent, self.agents, **common))
        else:
            self.policy = actor_of(self.loop.agent, self.loop.task, self.act_keys, self.agents, explores=explores)
            self.loop.system.start(self.act_keys, self.policy)

    def advance(self, observer: Any) -> bool:
        """The next piece of the trial. False once it is over for all seeds."""
        every = self.loop.agent.num_steps
        if every and self.index > 0 and self.steps and self.steps % every == 0:
            batches = {seed: self.loop.batch(pieces) for seed, pieces in self.unlearned.items()}
            self._update(self.loop.seeds.stack(batches), observer)
            self.unlearned = {seed: [] for seed in self.unlearned}
            if not isinstance(self.loop.system, Simulated):
                self.policy = self.loop.agent.actor(self.loop.task, self.agents)
        began = time.perf_counter()
        pieces, over = self._pieces()
        seconds = time.perf_counter() - began - self.loop.system.drawing_s
        self.steps += self.loop.piece
        for seed in self.going:
            self.tallies[seed].add_piece(pieces[seed], seconds)
        for seed, piece in pieces.items():
            self.unlearned[seed].append(piece)
        observer.stepped(self.index, self.tallies, 1e3 * seconds / self.loop.piece)
        for seed in [seed for seed in self.going if over[seed]]:
            self.going.remove(seed)
            batch = self.loop.batch(self.unlearned[seed])
            self.states[seed] = TrialLoopState(self.loop.seeds.of(self.agents, seed), batch)
        return bool(self.going)

    def trial(self, seed: int) -> dict[str, np.ndarray]:
        """The seed's trial, by name."""
        return self.tallies[seed].arrays()

    def driver(self, seed: int) -> Any:
        """State of the agent that drove the seed's trial."""
        return self.loop.seeds.of(self.drivers, seed)

    def _pieces(self) -> tuple[dict[int, Piece], dict[int, bool]]:
        loop, seeds = self.loop, self.loop.seeds
        if not isinstance(loop.system, Simulated):
            piece, over = loop.system.advance(self.policy, steps=loop.piece)
            return {seeds.seeds[0]: to_host(piece)}, {seeds.seeds[0]: over}
        before = self.cursors.state.time
        common = {"explores": self.index == 0, "steps": loop.piece, "spread": seeds.spread}
        done = _advance(self.act_keys, loop.system.env, loop.agent, self.agents, self.cursors, **common)
        self.cursors, stacked = to_host(done)
        pieces = {seed: seeds.of(stacked, seed) for seed in seeds.seeds}
        for seed in self.going:
            times = (int(seeds.of(time_, seed)) for time_ in (before, self.cursors.state.time))
            seeds.named(seed, check_piece, pieces[seed], *times)
        return pieces, {seed: bool(seeds.of(self.cursors.over, seed)) for seed in seeds.seeds}

    def _update(self, batches: Batch, observer: Any) -> None:
        observer.fitting(self.index)
        loop, began = self.loop, time.perf_counter()
        common = {"steps": jnp.asarray(self.steps), "spread": loop.seeds.spread}
        done = _update(self.learn_keys, loop.agent, loop.task, self.agents, batches, **common)
        self.agents, metrics = jax.block_until_ready(done)
        if loop.seeds.spread.many:
            self.agents = to_host(self.agents)
        seconds = time.perf_counter() - began
        each = {seed: to_host(loop.seeds.of(metrics, seed)) for seed in self.going}
        for seed, own in each.items():
            self.tallies[seed].add_update({name: value[None] for name, value in own.items()}, seconds)
        observer.fitted(self.index, each, seconds)


def actor_of(agent: AbstractAgent, task: Task, key: PRNGKeyArray, state: Any, *, explores: bool) -> AbstractPolicy:
    """Who acts in a trial: the explorer in the first one, if the agent has one, and its actor otherwise."""
    explorer = agent.explorer(jax.random.fold_in(key, task.horizon + 1), task) if explores else None
    return agent.actor(task, state) if explorer is None else explorer


@eqx.filter_jit
def _init(key: PRNGKeyArray, agent: AbstractAgent, task: Task) -> Any:
    return agent.init(key, task)


@eqx.filter_jit
def _begin(
    keys: Key[Array, "*s"], env: AbstractEnv, agent: AbstractAgent, agents: Any, *, explores: bool, spread: Spread
) -> Cursor:
    def one(key: Key[Array, ""], state: Any) -> Cursor:
        return begin(key, env, actor_of(agent, env.task, key, state, explores=explores))

    return spread(one, keys, agents)


@eqx.filter_jit
def _advance(
    keys: Key[Array, "*s"], env: AbstractEnv, agent: AbstractAgent, agents: Any, cursors: Cursor,
    *, explores: bool, steps: int, spread: Spread,
) -> tuple[Cursor, Piece]:  # fmt: skip
    def one(key: Key[Array, ""], state: Any, cursor: Cursor) -> tuple[Cursor, Piece]:
        policy = actor_of(agent, env.task, key, state, explores=explores)
        return advance(key, env, policy, cursor, steps=steps)

    return spread(one, keys, agents, cursors)


@eqx.filter_jit
def _update(
    keys: Key[Array, "*s"], agent: AbstractAgent, task: Task, agents: Any, batches: Batch,
    *, steps: Int[Array, ""], spread: Spread,
) -> tuple[Any, Metrics]:  # fmt: skip
    def one(key: Key[Array, ""], state: Any, batch: Batch) -> tuple[Any, Metrics]:
        key = jnp.where(steps > 0, jax.random.fold_in(key, steps), key)
        return agent.update(key, task, state, batch)

    return spread(one, keys, agents, batches)
