"""Trials and rounds of Gymnasium environments: Python steps the environment, compiled code acts and learns."""

import itertools
from collections.abc import Callable, Collection
from time import perf_counter
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.agent import AbstractAgent
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.errors import InputError
from handful.interaction import UpdateMetrics
from handful.policies.actor import AbstractActor
from handful.policies.base import AbstractPolicy
from handful.training.film import Film
from handful.training.journal import Journal
from handful.training.rollout import Piece
from handful.training.seeds import ONE, Seeds, as_it_is
from handful.training.watchdog import Watchdog
from handful.types import Batch, Transition

Tree = TypeVar("Tree")
Rows = dict[str, np.ndarray]  # the fields of transitions


class HostTrial:
    """One environment on the host and its trial in progress: what `vector.advance` is for pure environments."""

    def __init__(self, env: GymnasiumEnv, watchdog: Watchdog, journal: Journal | None = None) -> None:
        self.env, self._watchdog, self._journal = env, watchdog, journal
        self.obs: np.ndarray
        self.time, self.return_, self.over = 0, 0.0, True
        self.resets = 0

    def reset(self, key: PRNGKeyArray) -> None:
        """Begin a trial; each one with the same key begins differently."""
        with self._watchdog.watching("reset"):
            self.obs = self.env.reset(seed_of(key, self.resets))
        self.time, self.return_, self.over = 0, 0.0, False
        self.resets += 1
        if self._journal is not None:
            self._number, self._journal.trials = self._journal.trials, self._journal.trials + 1

    def step(self, action: np.ndarray) -> Rows:
        """Act once. Returns the fields of the transition; `action` is the one that the environment took.

        Raises `InputError` where the action is not finite; the environment does not see it.
        """
        obs = self.obs
        self.time += 1
        if not np.isfinite(action).all():
            raise InputError(
                f"the policy gave the action {action} at step {self.time} of a trial, which is not finite and was not "
                "sent to the environment; what was learned and recorded before is kept"
            )
        with self._watchdog.watching("step"):
            self.obs, reward, terminated, truncated = self.env.step(action)
        truncated = (truncated or self.time >= self.env.task.horizon) and not terminated
        self.return_ += reward
        self.over = terminated or truncated
        step = {
            "obs": obs,
            "action": self.env.to_env_action(action),
            "reward": np.asarray(reward, float),
            "next_obs": self.obs,
            "terminated": np.asarray(terminated),
            "truncated": np.asarray(truncated),
        }
        if self._journal is not None:
            self._journal.add(self._number, step)
        return step


class Hosted:
    """A Gymnasium environment as a `System`, of one seed.

    A trial's reset is seeded by its key and each step's key by its time, so a trial that is repeated from its start
    gives the same data where the environment itself does. Trials are filmed while `filming` is set and the environment
    can render.
    """

    def __init__(self, env: GymnasiumEnv) -> None:
        self.env, self.task = env, env.task
        self._copies = [env]
        self.watchdog = Watchdog()
        self._trial = HostTrial(env, self.watchdog)
        self.filming = False  # whether the trials that begin from now on are filmed
        self.film: Film | None = None  # of the trial in progress, or the last one
        self.drawing_s = 0.0  # [s] spent on frames in the last `advance`
        self.journal: Journal | None = None  # for the steps of trials that begin from now on

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a person should read."""
        return self.env.notes

    def copies(self, count: int) -> list[GymnasiumEnv]:
        """The environment and `count - 1` copies of it; it alone if it cannot be duplicated."""
        while len(self._copies) < count and (another := self.env.again()) is not None:
            self._copies.append(another)
        return self._copies[: count if len(self._copies) >= count else 1]

    def close(self) -> None:
        """Close the environment and its copies."""
        self.watchdog.close()
        for env in self._copies:
            env.close()

    def start(self, keys: Any, states: Any, policy_of: Callable[..., Any] = as_it_is, seeds: Seeds = ONE) -> None:
        """Begin a trial."""
        self.begin_film()
        self._key, self._policy_of, self._state, self._policy = keys, policy_of, states, policy_of(keys, states)
        self._carry = _init(self._policy)
        self._trial = HostTrial(self.env, self.watchdog, self.journal)
        self._trial.reset(keys)

    def advance(self, states: Any, *, steps: int, checked: Collection[int] | None = None) -> tuple[Piece, bool]:
        """Run `steps` steps, or fewer if the trial ends; the piece always has that many rows."""
        trial = self._trial
        if trial.over:
            raise RuntimeError("the trial is over: begin another one with start()")
        if states is not self._state:
            self._state, self._policy = states, self._policy_of(self._key, states)
        rows, infos = [], []
        self.drawing_s = 0.0
        self.shoot(trial.time, over=trial.over)
        while len(rows) < steps and not trial.over:
            obs, time = jnp.asarray(trial.obs), jnp.asarray(trial.time)
            action, self._carry, info = _act(self._policy, obs, self._carry, key=self._key, time=time)
            rows.append(trial.step(np.asarray(action)))
            infos.append(info)
            self.shoot(trial.time, over=trial.over)
        infos += [infos[-1]] * (steps - len(infos))
        stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *infos)
        return Piece(_transitions(padded(rows, steps)), jnp.arange(steps) < len(rows), stacked), trial.over

    def begin_film(self) -> None:
        """Film the trial that begins now, if trials are filmed."""
        self.film = Film(self.task.horizon) if self.filming else None

    def shoot(self, time: int, *, over: bool) -> None:
        """Take a frame if one is due."""
        if self.film is None or not self.film.wants(time, over=over):
            return
        began = perf_counter()
        frame = self.env.draw()
        if frame is not None:
            self.film.add(time, frame)
        self.drawing_s += perf_counter() - began


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
        self._first: list[Rows] = []  # steps of the first trial of the first environment in the round

    def init(self, key: PRNGKeyArray) -> HostState:
        return HostState(init_agent(key, self.agent, self.task), jnp.zeros((), int))

    def begin(self, key: PRNGKeyArray, state: HostState) -> HostState:
        """Reset all environments for a round."""
        key = jax.random.fold_in(key, int(state.updates))
        key = jax.random.fold_in(key, self.agent.num_envs * self.length + 1)  # past those of an update
        system = self.system
        self._trials, self._first = [HostTrial(env, system.watchdog, system.journal) for env in self.envs], []
        self._reset_keys = [jax.random.fold_in(key, n) for n in range(len(self.envs))]
        self.system.begin_film()
        for trial, reset_key in zip(self._trials, self._reset_keys, strict=True):
            trial.reset(reset_key)
        self.system.shoot(0, over=False)
        return HostState(_on_reset(self.agent, state.agent), state.updates)

    def update(self, key: PRNGKeyArray, state: HostState) -> tuple[HostState, UpdateMetrics, float]:
        """Act, then learn: the new state, its metrics, and the seconds of learning."""
        key, num_envs = jax.random.fold_in(key, int(state.updates)), self.agent.num_envs
        leaves, structure = eqx.partition(self.agent.actor(self.task, state.agent), eqx.is_array)
        self._act = self._act or _acting(structure)
        starts = np.arange(0, num_envs * self.length, self.length).reshape(-1, len(self._trials))
        groups = [self._collected(key, leaves, each) for each in starts]
        columns, returns = (list(itertools.chain(*parts)) for parts in zip(*groups, strict=True))
        rows = [padded(column, self.length) for column in columns]
        transitions = _transitions({name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]})
        valid = np.arange(self.length)[:, None] < [len(column) for column in columns]
        began = perf_counter()
        learn_key = jax.random.fold_in(key, num_envs * self.length)  # past the keys of all actions of the update
        batch = Batch(transitions, jnp.asarray(valid))
        agent, metrics = jax.block_until_ready(_update(learn_key, self.agent, self.task, state.agent, batch))
        seconds = perf_counter() - began
        done = {"steps": valid.sum(), "episodes": len(returns), "return_sum": float(sum(returns))}
        done |= {"finite": True, "metrics": metrics}
        metrics = UpdateMetrics(**jax.tree.map(lambda value: jnp.asarray(np.asarray(value)[None]), done))
        return HostState(agent, state.updates + 1), metrics, seconds

    def shown(self) -> Rows:
        """The round's first trial by name, as far as it came."""
        return padded(self._first, len(self._first))

    def _collected(self, key: PRNGKeyArray, actor: Any, starts: np.ndarray) -> tuple[list[list[Rows]], list[float]]:
        """Steps of each environment until the next update, and the returns of trials that ended in them.

        The agent's environments take turns in groups of as many as there are here; `starts` number the first steps of
        one group. The steps of an episodic agent end with the first trial.
        """
        columns, returns = [[] for _ in self._trials], []
        going = list(range(len(self._trials)))
        for row in range(self.length):
            for place in going:
                if self._trials[place].over:
                    self._trials[place].reset(self._reset_keys[place])
            obs = np.stack([trial.obs for trial in self._trials])
            raw_actions, actions = map(np.asarray, self._act(actor, key, starts + row, obs))
            for place in going:
                trial = self._trials[place]
                step = trial.step(actions[place])
                columns[place].append(step | {"action": raw_actions[place]})
                if place == 0 and trial.resets == 1:
                    self._first.append(step)
                    self.system.shoot(trial.time, over=trial.over)
                if trial.over:
                    returns.append(trial.return_)
            if self.agent.episodic:
                going = [place for place in going if not self._trials[place].over]
                if not going:
                    break
        return columns, returns


def seed_of(key: PRNGKeyArray, reset: int = 0) -> int:
    """The seed of a reset: number `reset` of those that a key gives."""
    return int(_bits(key, reset)) >> 1  # 31 bits: what every generator takes


def padded(rows: list[Rows], length: int) -> Rows:
    """Transitions on a leading axis, with zeros behind them up to `length`."""
    rows = rows + [jax.tree.map(np.zeros_like, rows[0])] * (length - len(rows))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _transitions(rows: Rows) -> Transition:
    """For learning: rewards as precise as observations."""
    rows = rows | {"reward": rows["reward"].astype(rows["obs"].dtype)}
    return Transition(**{name: jnp.asarray(values) for name, values in rows.items()})


def _acting(structure: Any) -> Any:
    """Compiled raw actions, one an environment, and their environment actions, fast to call once a step."""

    def one(
        leaves: Any, key: PRNGKeyArray, time: Int[Array, ""], obs: Float[Array, "o"]
    ) -> tuple[Float[Array, "r"], Float[Array, "a"]]:
        actor, key = eqx.combine(leaves, structure), jax.random.fold_in(key, time)
        if isinstance(actor, AbstractActor):
            raw_action = actor.sample(key, obs)
            return raw_action, actor.to_env_action(raw_action)
        action, _ = actor(key, obs, actor.init())
        return action, action

    return jax.jit(jax.vmap(one, in_axes=(None, None, 0, 0)))


@eqx.filter_jit
def _act(
    policy: AbstractPolicy, obs: Float[Array, "o"], carry: Any, *, key: PRNGKeyArray, time: Int[Array, ""]
) -> tuple[Float[Array, "a"], Any, dict[str, Array]]:
    """One action, with the key that `rollout.advance` would use."""
    policy_key, _ = jax.random.split(jax.random.fold_in(key, time + 1))
    action, carry = policy(policy_key, obs, carry)
    carry = _strongly_typed(carry)
    return action, carry, policy.info(carry)


def _strongly_typed(carry: Tree) -> Tree:
    """Numbers as arrays of a definite type: a weakly typed first carry would compile `_act` twice."""

    def typed(leaf: Any) -> Any:
        return jnp.asarray(leaf, jnp.result_type(leaf)) if eqx.is_array_like(leaf) else leaf

    return jax.tree.map(typed, carry)


init_agent = eqx.filter_jit(lambda key, agent, task: agent.init(key, task))
_bits = jax.jit(lambda key, number: jax.random.bits(jax.random.fold_in(key, number)))
_init = eqx.filter_jit(lambda policy: _strongly_typed(policy.init()))
_on_reset = eqx.filter_jit(lambda agent, state: agent.on_reset(state))
_update = eqx.filter_jit(lambda key, agent, task, state, batch: agent.update(key, task, state, batch))
