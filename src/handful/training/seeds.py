"""Seeds side by side on a pure environment: fit, act and environment of all of them advance in one compiled program.

What differs between seeds (keys, what each agent has learned, data, where its trial stands) carries a leading axis s;
what they share (learner, planner, constants of the environment) does not. No seed hears of another, so what one does
never depends on what the others hold.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int, Key

from handful.agents.base import AbstractAgent
from handful.data.dataset import Dataset
from handful.devices import AXIS, all_devices, undivided
from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.models.base import FitReport
from handful.task import Task
from handful.training.collect import Cursor, Piece, Watch, advance, begin, nothing
from handful.training.loop import Loop, LoopState, Tally, Trial, policy_of
from handful.training.run import Row
from handful.training.system import Simulated, System, check_finite
from handful.types import Transition


@runtime_checkable
class Going(Protocol):
    """What a trial in progress has come to."""

    @property
    def steps(self) -> int: ...
    @property
    def return_(self) -> float: ...
    @property
    def planned(self) -> float | None: ...


@runtime_checkable
class SeedsObserver(Protocol):
    """Somebody who watches seeds side by side."""

    def fitting(self, trial: int) -> None: ...
    def fitted(self, trial: int, reports: dict[int, FitReport], seconds: float) -> None: ...
    def stepped(self, trial: int, tallies: Mapping[int, Going], step_ms: float) -> None: ...
    def finished(self, trials: dict[int, Trial]) -> None: ...


class SeedsLoop:
    """Runs the trials of the loops of several seeds at once. The loops differ in nothing but their keys.

    Devices share the seeds, each doing its part of them, and nothing else. Times are of all seeds together.
    """

    def __init__(self, loops: Mapping[int, Loop]) -> None:
        self.loops, self.seeds = loops, list(loops)
        self.env, self.agent = pure(self.any.system), undivided(self.any.agent)
        self.mesh, self.lanes = lanes_of(self.seeds)

    @property
    def any(self) -> Loop:
        """One of the loops, for what they have in common."""
        return next(iter(self.loops.values()))

    def trial(
        self, index: int, states: Mapping[int, LoopState], rows: Mapping[int, list[Row]], observer: SeedsObserver
    ) -> dict[int, tuple[LoopState, Trial]]:
        """Run trial `index`: new states and records of the seeds that lacked it.

        Those that have it already only fill their places, since the others need the same program.

        Raises `InputError` where a seed meets what is not finite; none of them has the trial then.
        """
        running = Running(self, index, states, going=[seed for seed in self.seeds if len(rows[seed]) == index])
        if index > 0:
            running.fit(observer)
        agents = running.agents
        running.begin()
        while running.going:
            if index > 0 and self.any.refit_every and running.steps and running.steps % self.any.refit_every == 0:
                running.fit(observer)
            running.advance(observer)
        done = {}
        for seed, state in running.over.items():
            place, loop = self.seeds.index(seed), self.loops[seed]
            model = loop.agent.model(seed_slice(agents, place))
            score_key, tally = running.score_keys[place], running.tallies[seed]
            done[seed] = state, loop.finished(index, score_key, tally, model, rows[seed])
        observer.finished({seed: trial for seed, (_, trial) in done.items()})
        return done


class Running:
    """A trial of all seeds in progress."""

    def __init__(self, loop: SeedsLoop, index: int, states: Mapping[int, LoopState], going: list[int]) -> None:
        self.loop, self.index, self.going, self.steps = loop, index, going, 0
        self.tallies = {seed: Tally() for seed in going}
        self.over: dict[int, LoopState] = {}
        keys = jnp.stack([loop.loops[seed].keys(index) for seed in loop.lanes])
        self.keys, self.fit_keys, self.score_keys = keys[:, 0], keys[:, 1], keys[:, 2]
        stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *(states[seed] for seed in loop.lanes))
        self.agents, self.data = stacked.agent, stacked.data
        self.cursors: Cursor

    def begin(self) -> None:
        """Reset environments and policies."""
        loop = self.loop
        begun = _begin(self.keys, loop.env, loop.agent, self.agents, explores=self.index == 0, mesh=loop.mesh)
        self.cursors = home(begun)

    def fit(self, observer: SeedsObserver) -> None:
        """Learn from all data so far."""
        observer.fitting(self.index)
        loop, began = self.loop, time.perf_counter()
        settings = {"steps": jnp.asarray(self.steps), "mesh": loop.mesh}
        fitted = _fit(self.fit_keys, loop.agent, loop.env.task, self.agents, self.data, **settings)
        self.agents, stacked = home(fitted)
        seconds = time.perf_counter() - began
        reports = {seed: seed_slice(stacked, loop.seeds.index(seed)) for seed in self.going}
        for seed, report in reports.items():
            tally = self.tallies[seed]
            tally.report, tally.fit_seconds = report, tally.fit_seconds + seconds
        observer.fitted(self.index, reports, seconds)

    def advance(self, observer: SeedsObserver) -> None:
        """The next piece of the trial. A seed whose trial is over with it leaves with what it holds."""
        loop, began, before = self.loop, time.perf_counter(), self.cursors.time
        common = {"explores": self.index == 0, "steps": loop.any.piece, "mesh": loop.mesh}
        watch = loop.any.watch if self.index > 0 else nothing
        done = _advance(self.keys, loop.env, loop.agent, self.agents, self.cursors, watch=watch, **common)
        self.cursors, pieces = home(done)
        pieces, seconds = jax.tree.map(np.asarray, pieces), time.perf_counter() - began
        for seed in self.going:
            place = loop.seeds.index(seed)
            piece = jax.tree.map(lambda leaf, place=place: leaf[place], pieces)
            try:
                check_finite(piece, int(before[place]), int(self.cursors.time[place]))
            except InputError as error:
                raise InputError(f"seed {seed}: {error}") from error
            self.tallies[seed].add(piece, seconds=seconds)
        counted = np.isin(loop.lanes, self.going) * pieces.valid.sum(1)
        self.data = _remember(self.data, pieces.transitions, jnp.asarray(self.index), jnp.asarray(counted))
        self.steps += loop.any.piece
        observer.stepped(self.index, self.tallies, 1e3 * seconds / loop.any.piece)
        over = np.asarray(self.cursors.over)
        for place, seed in enumerate(loop.seeds):
            if seed in self.going and over[place]:
                self.going.remove(seed)
                self.over[seed] = seed_slice(LoopState(self.agents, self.data), place)


def pure(system: System) -> AbstractEnv:
    """The environment of a system that can have many copies in one program."""
    if not isinstance(system, Simulated):
        raise TypeError("seeds run side by side on a pure environment; on another give each a process")
    return system.env


def lanes_of(seeds: list[int]) -> tuple[Mesh | None, list[int]]:
    """The devices that share the seeds, and the seed of each lane.

    Devices have equally many seeds each: the last seed is there as often as that takes.
    """
    mesh = all_devices() if len(seeds) > 1 else None
    devices = mesh.size if mesh else 1
    return mesh, [*seeds, *seeds[-1:] * (-len(seeds) % devices)]


@eqx.filter_jit
def _begin(
    keys: Key[Array, "s"], env: AbstractEnv, agent: AbstractAgent, agents: Any, *, explores: bool, mesh: Mesh | None
) -> Cursor:
    def one(key: Key[Array, ""], state: Any) -> Cursor:
        return begin(key, env, policy_of(agent, env.task, key, state, explores=explores))

    return on_lanes(mesh, one, keys, agents)


@eqx.filter_jit
def _advance(
    keys: Key[Array, "s"], env: AbstractEnv, agent: AbstractAgent, agents: Any, cursors: Cursor,
    *, explores: bool, steps: int, watch: Watch, mesh: Mesh | None,
) -> tuple[Cursor, Piece]:  # fmt: skip
    def one(key: Key[Array, ""], state: Any, cursor: Cursor) -> tuple[Cursor, Piece]:
        policy = policy_of(agent, env.task, key, state, explores=explores)
        return advance(key, env, policy, cursor, steps=steps, watch=watch)

    return on_lanes(mesh, one, keys, agents, cursors)


@eqx.filter_jit
def _fit(
    keys: Key[Array, "s"], agent: AbstractAgent, task: Task, agents: Any, data: Dataset,
    *, steps: Int[Array, ""], mesh: Mesh | None,
) -> tuple[Any, FitReport]:  # fmt: skip
    def one(key: Key[Array, ""], state: Any, data: Dataset) -> tuple[Any, FitReport]:
        key = jnp.where(steps > 0, jax.random.fold_in(key, steps), key)
        return agent.fit(key, task, state, data)

    return on_lanes(mesh, one, keys, agents, data)


@jax.jit
def _remember(data: Dataset, transitions: Transition, trial: Int[Array, ""], counted: Int[Array, "s"]) -> Dataset:
    return jax.vmap(lambda data, rows, count: data.add(rows, trial, count))(data, transitions, counted)


def on_lanes(mesh: Mesh | None, one: Callable[..., Any], *lanes: Any) -> Any:
    """`one` for every seed, each device doing its share of them."""
    every = jax.vmap(one)
    if mesh is None:
        return every(*lanes)
    share = PartitionSpec(AXIS)
    return jax.shard_map(every, mesh=mesh, in_specs=share, out_specs=share, check_vma=False)(*lanes)


def home(tree: Any) -> Any:
    """Off the devices that share the seeds: arrays that stayed there would compile every next call anew."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), tree)


def seed_slice(tree: Any, place: int) -> Any:
    """What belongs to one seed; by way of NumPy, which compiles nothing for it."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[place]), tree)
