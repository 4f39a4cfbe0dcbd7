"""Round by round: a stage is so many updates, each after `num_steps` steps in `num_envs` environments."""

import itertools
import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from handful.agent import AbstractAgent, Metrics
from handful.envs.base import AbstractEnv
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.errors import InputError
from handful.interaction import TrainState, UpdateMetrics, init, train_steps
from handful.policies.actor import AbstractActor
from handful.task import Task
from handful.training.host import Hosted, HostTrial, empty_rows, put, seed_of
from handful.training.seeds import Seeds, Spread, to_host
from handful.training.system import Simulated, System
from handful.training.tally import Tally
from handful.types import Batch, Transition

STEPS_PER_CALL = 4096  # [steps] of interaction, about, between two looks at a round in progress
ROUNDS = 50  # that the steps of a run are divided into, or fewer if an update takes more steps than that
FILMED = 10  # [rounds] between two films: drawing a trial may take longer than a round


class RoundByRound:
    """The loop's way to run agents that need many updates.

    The return of a round is the mean over the trials that ended in it, exploration included. Round 0 is one trial of
    the untrained policy. A simulator shows a trial of the learned policy for each round, which is not learned from and
    not counted; a system on the host shows the first trial of the round.
    """

    unit = "round"

    def __init__(self, system: System, agent: AbstractAgent, seeds: Seeds, updates: int) -> None:
        self.system, self.agent, self.seeds, self.updates, self.task = system, agent, seeds, updates, system.task
        self.piece = system.task.horizon
        self.host = OnHost(system, agent) if isinstance(system, Hosted) else None

    @property
    def steps(self) -> int:
        """Of interaction in a round, at most."""
        return self.updates * steps_per_update(self.agent, self.task)

    def capacity(self, stages: int) -> int:
        return (stages + 1) * self.steps

    def init(self, key: PRNGKeyArray) -> Any:
        return self.host.init(key) if self.host else _init(key, self.env, self.agent)

    def reserve(self, state: Any, capacity: int) -> Any:
        return eqx.tree_at(lambda s: s.agent, state, self.agent.reserve(state.agent, capacity))

    def films(self, index: int, last: int) -> bool:
        return index % FILMED == 0 or index == last

    def keys(self, key: PRNGKeyArray, index: int) -> Key[Array, "2"]:
        """Keys of round `index`: for the trial that is shown, and for learning, which is the same in all rounds."""
        return jnp.stack([jax.random.fold_in(key, index + 1), key])

    def start(self, index: int, keys: Mapping[int, Any], states: Mapping[int, Any], going: list[int]) -> "RunningRound":
        return RunningRound(self, index, keys, states, going)

    @property
    def env(self) -> AbstractEnv:
        assert isinstance(self.system, Simulated)
        return self.system.env


class RunningRound:
    """Round `index` of all seeds in progress."""

    def __init__(
        self, loop: RoundByRound, index: int, keys: Mapping[int, Any], states: Mapping[int, Any], going: list[int]
    ) -> None:
        self.loop, self.index, self.going, self.keys = loop, index, going, keys
        self.tallies = {seed: Tally() for seed in going}
        self.states = dict(states)
        calls = [1] * loop.updates if loop.host else chunks(loop.agent, loop.task, loop.updates)
        self.calls = calls if index > 0 else []  # numbers of updates

    def learn(self, observer: Any) -> None:
        """Nothing is left from the last round."""

    def begin(self) -> None:
        seeds = self.loop.seeds
        self.learn_keys = seeds.stack({seed: self.keys[seed][1] for seed in seeds.seeds})
        self.now: Any = seeds.stack(self.states)
        if self.loop.host and self.calls:
            self.now = self.loop.host.begin(self.learn_keys, self.now)

    def advance(self, observer: Any) -> bool:
        """The next updates of the round. False once all are made."""
        if not self.calls:
            return False
        loop, count, began = self.loop, self.calls.pop(0), time.perf_counter()
        if loop.host:
            self.now, done, seconds = loop.host.update(self.learn_keys, self.now)
        else:
            common = {"updates": count, "spread": loop.seeds.spread}
            self.now, done = to_host(_train_steps(self.learn_keys, loop.env, loop.agent, self.now, **common))
            seconds = time.perf_counter() - began
        for seed in self.going:
            own = loop.seeds.of(done, seed)
            loop.seeds.named(seed, check_finite, own)
            self._count(self.tallies[seed], own, seconds)
        first = self.tallies[self.going[0]]
        observer.stepped(self.index, self.tallies, 1e3 * first.seconds / max(first.steps, 1))
        if not self.calls:
            self.states = {seed: loop.seeds.of(self.now, seed) for seed in loop.seeds.seeds}
        return bool(self.calls)

    def trial(self, seed: int) -> dict[str, np.ndarray]:
        """The trial that is shown for the round, by name."""
        loop, tally = self.loop, self.tallies[seed]
        tally.step_ms = [1e3 * tally.seconds / max(tally.steps, 1)]
        if loop.host and self.index > 0:
            return loop.host.shown() | {"step_ms": np.array(tally.step_ms)}
        shown, policy, over = Tally(), loop.agent.policy(loop.task, self.states[seed].agent), False
        loop.system.start(self.keys[seed][0], policy)
        while not over:
            piece, over = loop.system.advance(policy, steps=loop.piece)
            shown.add_piece(to_host(piece), 0.0)
        if not tally.episodes:
            tally.episodes, tally.episode_return_sum = 1, shown.return_
        return shown.arrays() | {"step_ms": np.array(tally.step_ms)}

    def driver(self, seed: int) -> Any:
        """State of the seed's agent after the round."""
        return self.states[seed].agent

    @staticmethod
    def _count(tally: Tally, done: UpdateMetrics, seconds: float) -> None:
        tally.add_update(to_host(done.metrics), seconds)
        tally.steps += int(done.steps.sum())
        tally.episodes += int(done.episodes.sum())
        tally.episode_return_sum += float(done.return_sum.sum())


class HostState(eqx.Module):
    """The state between two rounds: the agent's alone, since an environment on the host cannot be restored."""

    agent: Any
    updates: Int[Array, ""]


class OnHost:
    """Vectorised environments on the host: acting is a compiled step at a time, learning a compiled update.

    If the environment cannot be duplicated, its `num_envs` episodes run one after another. A round begins with resets,
    so that one that is repeated from its start is the same; episodes that the end of a round cuts off are learned from
    up to there, and their returns are not counted.

    Raises `InputError` if the environment cannot be duplicated and an agent that is not episodic has several.
    """

    def __init__(self, system: Hosted, agent: AbstractAgent) -> None:
        self.envs: list[GymnasiumEnv] = system.copies(agent.num_envs)
        if len(self.envs) != agent.num_envs and not agent.episodic:
            raise InputError(
                f"the environment cannot be duplicated, so the agent can have one of it, not {agent.num_envs}: set "
                "num_envs to 1, or register the environment with Gymnasium and make it by its id"
            )
        self.system, self.agent, self.task = system, agent, system.task
        self.length = system.task.horizon if agent.num_steps is None else agent.num_steps
        self._act: Any = None  # compiled for the actor's structure, which never changes
        self._raw_size = 0  # of a raw action, found at the first step
        self._trials: list[HostTrial] = []
        self._first: list[dict[str, Any]] = []  # steps of the first trial of the first environment in the round

    def init(self, key: PRNGKeyArray) -> HostState:
        return HostState(_init_agent(key, self.agent, self.task), jnp.zeros((), int))

    def begin(self, key: PRNGKeyArray, state: HostState) -> HostState:
        """Reset all environments for a round."""
        key = jax.random.fold_in(key, int(state.updates))
        key = jax.random.fold_in(key, self.agent.num_envs * self.length + 1)  # past those of an update
        self._reset_keys = [jax.random.fold_in(key, n) for n in range(len(self.envs))]
        self._resets, self._trials, self._first = [0] * len(self.envs), [HostTrial(env) for env in self.envs], []
        self.system.begin_film()
        for place in range(len(self.envs)):
            self._reset(place)
        self.system.shoot(0, over=False)
        return HostState(_on_reset(self.agent, state.agent), state.updates)

    def update(self, key: PRNGKeyArray, state: HostState) -> tuple[HostState, UpdateMetrics, float]:
        """Act, then learn: the new state, its metrics, and the seconds of learning."""
        key = jax.random.fold_in(key, int(state.updates))
        leaves, structure = eqx.partition(self.agent.actor(self.task, state.agent), eqx.is_array)
        if self._act is None:
            self._act = _acting(structure)
            obs = np.stack([trial.obs for trial in self._trials])
            self._raw_size = self._act(leaves, key, np.arange(len(obs)), obs)[0][0].size
        batch, returns = self._collected(key, leaves)
        began = time.perf_counter()
        done = _update(key, self.agent, self.task, state.agent, batch, length=self.length)
        agent, metrics = jax.block_until_ready(done)
        seconds = time.perf_counter() - began
        done = {"steps": int(batch.valid.sum()), "episodes": len(returns), "return_sum": float(sum(returns))}
        done |= {"finite": True, "metrics": metrics}
        metrics = UpdateMetrics(**jax.tree.map(lambda value: jnp.asarray(np.asarray(value)[None]), done))
        return HostState(agent, state.updates + 1), metrics, seconds

    def shown(self) -> dict[str, np.ndarray]:
        """The round's first trial by name, as far as it came."""
        return {name: np.stack([step[name] for step in self._first]) for name in self._first[0]}

    def _reset(self, place: int) -> None:
        self._trials[place].reset(seed_of(self._reset_keys[place], self._resets[place]))
        self._resets[place] += 1

    def _collected(self, key: PRNGKeyArray, actor: Any) -> tuple[Batch, list[float]]:
        """Steps until the next update, and the returns of trials that ended in them.

        The agent's environments take turns in groups of as many as there are here.
        """
        num_envs, length = self.agent.num_envs, self.length
        rows = empty_rows(num_envs * length, self.task.obs_size, self._raw_size, self._trials[0].obs.dtype)
        valid = np.zeros(num_envs * length, bool)
        groups = np.arange(0, num_envs * length, length).reshape(-1, len(self._trials))
        returns = [self._group(key, actor, starts, rows, valid) for starts in groups]

        def by_time(values: np.ndarray) -> Array:
            return jnp.asarray(values.reshape(num_envs, length, *values.shape[1:]).swapaxes(0, 1))

        transitions = Transition(**{name: by_time(values) for name, values in rows.items()})
        return Batch(transitions, by_time(valid)), list(itertools.chain(*returns))

    def _group(
        self, key: PRNGKeyArray, actor: Any, starts: np.ndarray, rows: dict[str, np.ndarray], valid: np.ndarray
    ) -> list[float]:
        """Fill the rows of one group from `starts` on. An episodic agent's rows end with its first trial."""
        going, returns = list(range(len(self._trials))), []
        for row in range(self.length):
            for place in going:
                if self._trials[place].over:
                    self._reset(place)
            obs = np.stack([trial.obs for trial in self._trials])
            raw_actions, actions = map(np.asarray, self._act(actor, key, starts + row, obs))
            for place in going:
                trial, at = self._trials[place], int(starts[place]) + row
                step = trial.step(actions[place])
                put(rows, at, step | {"action": raw_actions[place]})
                valid[at] = True
                if place == 0 and self._resets[0] == 1:
                    self._first.append(step)
                    self.system.shoot(trial.time, over=trial.over)
            returns += [self._trials[place].return_ for place in going if self._trials[place].over]
            if self.agent.episodic:
                going = [place for place in going if not self._trials[place].over]
                if not going:
                    break
        return returns


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


def _acting(structure: Any) -> Any:
    """Compiled raw actions, one an environment, and their environment actions, fast to call once a step."""

    def act(
        leaves: Any, key: PRNGKeyArray, times: Int[Array, "n"], obs: Float[Array, "n o"]
    ) -> tuple[Float[Array, "n r"], Float[Array, "n a"]]:
        actor = eqx.combine(leaves, structure)

        def one(time_: Int[Array, ""], obs: Float[Array, "o"]) -> tuple[Float[Array, "r"], Float[Array, "a"]]:
            key_ = jax.random.fold_in(key, time_)
            if isinstance(actor, AbstractActor):
                raw_action = actor.sample(key_, obs)
                return raw_action, actor.to_env_action(raw_action)
            action, _ = actor(key_, obs, actor.init())
            return action, action

        return jax.vmap(one)(times, obs)

    return jax.jit(act)


@eqx.filter_jit
def _init(key: PRNGKeyArray, env: AbstractEnv, agent: AbstractAgent) -> TrainState:
    return init(key, env, agent)


@eqx.filter_jit
def _train_steps(
    keys: Key[Array, "*s"], env: AbstractEnv, agent: AbstractAgent, states: TrainState, *, updates: int, spread: Spread
) -> tuple[TrainState, UpdateMetrics]:
    return spread(lambda key, state: train_steps(key, env, agent, state, updates), keys, states)


@eqx.filter_jit
def _init_agent(key: PRNGKeyArray, agent: AbstractAgent, task: Task) -> Any:
    return agent.init(key, task)


@eqx.filter_jit
def _on_reset(agent: AbstractAgent, state: Any) -> Any:
    return agent.on_reset(state)


@eqx.filter_jit
def _update(
    key: PRNGKeyArray, agent: AbstractAgent, task: Task, state: Any, batch: Batch, *, length: int
) -> tuple[Any, Metrics]:
    # past the keys of all actions of the update
    return agent.update(jax.random.fold_in(key, agent.num_envs * length), task, state, batch)
