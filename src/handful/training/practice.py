"""How a learner of policies gets its steps: in copies of a pure environment, compiled whole, or on the host."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from handful.envs.base import AbstractEnv
from handful.errors import InputError
from handful.policies.learner import AbstractPolicyLearner, Logged
from handful.policy_optimization.training import Practice, Told, begin, several
from handful.training.hosted import Hosted, empty_rows, seed_of
from handful.training.system import Simulated, System
from handful.types import Transition

LOOK = 4096  # [steps] of interaction, about, between two looks at a round in progress

State = Any  # of an interaction: it holds the learner's as `learner`


@dataclass
class Round:
    """What a round has come to so far."""

    steps: int = 0  # of interaction
    trials: int = 0  # that ended
    return_sum: float = 0.0  # of those
    learning_s: float = 0.0  # [s] in compiled learning; where acting is compiled with it, of both
    began: float = field(default_factory=time.perf_counter)
    told: list[Logged] = field(default_factory=list)  # by updates, on leading axes
    shown: dict[str, np.ndarray] = field(default_factory=dict)  # a trial of it, where the system is on the host

    def add(self, told: Told, seconds: float) -> None:
        """Count updates in."""
        self.told.append(jax.tree.map(np.asarray, told.logged))
        self.steps += int(told.steps.sum())
        self.trials += int(told.trials.sum())
        self.return_sum += float(told.return_sum.sum())
        self.learning_s += seconds

    @property
    def return_(self) -> float:
        """The mean over the trials that ended; not a number where none did."""
        return self.return_sum / self.trials if self.trials else float("nan")

    @property
    def seconds(self) -> float:
        """Since it began [s]."""
        return time.perf_counter() - self.began

    def logged(self) -> dict[str, np.ndarray]:
        """What each update told of itself."""
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *self.told) if self.told else {}


@runtime_checkable
class Interaction(Protocol):
    """A learner in its element."""

    learner: AbstractPolicyLearner

    def init(self, key: PRNGKeyArray) -> State:
        """Before the first update."""
        ...

    def round(
        self, key: PRNGKeyArray, state: State, updates: int, watch: Callable[[Round], None]
    ) -> tuple[State, Round]:
        """So many updates. `watch` sees the round grow."""
        ...


def interaction(system: System, learner: AbstractPolicyLearner) -> "Compiled | OnHost":
    """The learner on a system."""
    if isinstance(system, Simulated):
        return Compiled(system.env, learner)
    assert isinstance(system, Hosted)
    return OnHost(system, learner)


class Compiled:
    """On a pure environment: acting and learning are one program."""

    def __init__(self, env: AbstractEnv, learner: AbstractPolicyLearner) -> None:
        self.env, self.learner = env, learner

    def init(self, key: PRNGKeyArray) -> Practice:
        return _begin(key, self.env, self.learner)

    def round(
        self, key: PRNGKeyArray, state: Practice, updates: int, watch: Callable[[Round], None]
    ) -> tuple[Practice, Round]:
        done = Round()
        for count in chunks(self.learner, updates):
            began = time.perf_counter()
            state, told = jax.tree.map(np.asarray, _several(key, self.env, self.learner, state, count))
            check_finite(told)
            done.add(told, time.perf_counter() - began)
            watch(done)
        return state, done


class HostState(eqx.Module):
    """What goes on from round to round: a system on the host cannot be put back to where it stood."""

    learner: Any
    updates: Int[Array, ""]


class OnHost:
    """On one environment of Gymnasium: acting is a compiled step at a time, learning a compiled update.

    Whole trials of several environments are trials of this one, one after the other.

    A round begins with a reset, so that one run again from its start is the same; the trial that its end cuts off is
    learned from, as one that goes on, and its return is not counted. The first trial of a round is kept to be shown.
    """

    def __init__(self, system: Hosted, learner: AbstractPolicyLearner) -> None:
        if learner.envs != 1 and not learner.whole_trials:
            raise InputError(f"a learner has one environment on the host, not {learner.envs}: give `envs` as 1")
        self.system, self.env, self.learner = system, system.env, learner
        self._draw: Any = None  # compiled for the actor's structure, which never changes
        self._choice_size = 0  # found at the first draw

    def init(self, key: PRNGKeyArray) -> HostState:
        return HostState(_init(key, self.learner, self.env.task), jnp.zeros((), int))

    def round(
        self, key: PRNGKeyArray, state: HostState, updates: int, watch: Callable[[Round], None]
    ) -> tuple[HostState, Round]:
        done, walk = Round(), _Walk(self.system, jax.random.fold_in(key, int(state.updates)))
        for _ in range(updates):
            update_key = jax.random.fold_in(key, int(state.updates))
            leaves, structure = eqx.partition(self.learner.actor(state.learner), eqx.is_array)
            if self._draw is None:
                self._draw = _drawing(structure)
                self._choice_size = self._draw(leaves, update_key, 0, walk.obs)[0].size
            lanes = [self._lane(update_key, n, walk, leaves) for n in range(self.learner.envs)]
            rows, steps, returns = zip(*lanes, strict=True)
            batch = Transition(**jax.tree.map(lambda *each: jnp.asarray(np.stack(each, 1)), *rows))
            began = time.perf_counter()
            learned, logged = jax.block_until_ready(_update(update_key, self.learner, state.learner, batch))
            state = HostState(learned, state.updates + 1)
            done.add(_told(sum(steps), list(itertools.chain(*returns)), logged), time.perf_counter() - began)
            watch(done)
        done.shown = walk.shown()
        return state, done

    def _lane(
        self, key: PRNGKeyArray, lane: int, walk: "_Walk", actor: Any
    ) -> tuple[dict[str, np.ndarray], int, list[float]]:
        """What is met until the next update, field by field; its steps; the returns of trials that ended.

        Rows after a whole trial are empty, and do not count.
        """
        length = self.learner.length
        returns, steps = [], lane * length
        rows = empty_rows(length, self.env.task.obs_size, self._choice_size, walk.obs.dtype)
        for row in range(length):
            if walk.over:
                walk.reset()
            choice, action = self._draw(actor, key, steps + row, walk.obs)
            walk.step(np.asarray(choice), np.asarray(action), rows, row)
            if walk.over:
                returns.append(walk.return_)
                if self.learner.whole_trials:
                    return rows, row + 1, returns
        return rows, length, returns


class _Walk:
    """The environment on the host, begun anew when its trial is over. It keeps and films the first trial."""

    def __init__(self, system: Hosted, key: PRNGKeyArray) -> None:
        self.system, self.env, self.key, self.resets = system, system.env, key, 0
        self.first: list[dict[str, Any]] = []
        self.obs: np.ndarray
        system.begin_film()
        self.reset()
        system.shoot(0, over=False)

    def reset(self) -> None:
        self.obs = self.env.reset(seed_of(jax.random.fold_in(self.key, self.resets)))
        self.resets, self.time, self.return_, self.over = self.resets + 1, 0, 0.0, False

    def step(self, choice: np.ndarray, action: np.ndarray, rows: dict[str, np.ndarray], row: int) -> None:
        """Act once and write down what came of it."""
        if not np.isfinite(action).all():
            raise InputError(
                f"the policy gave the action {action}, which is not finite and was not carried out; what was learned "
                "before this round is kept"
            )
        before = self.obs
        self.obs, reward, terminated, truncated = self.env.step(action)
        self.time, self.return_ = self.time + 1, self.return_ + reward
        truncated = (truncated or self.time >= self.env.task.horizon) and not terminated
        self.over = terminated or truncated
        happened = {
            "obs": before,
            "action": choice,
            "reward": reward,
            "next_obs": self.obs,
            "terminated": terminated,
            "truncated": truncated,
        }
        for name, value in happened.items():
            rows[name][row] = value
        if self.resets == 1:
            self.first.append(happened | {"action": self.env.carried_out(action)})
            self.system.shoot(self.time, over=self.over)

    def shown(self) -> dict[str, np.ndarray]:
        """The first trial as named arrays, as far as it came."""
        return {name: np.stack([step[name] for step in self.first]) for name in self.first[0]}


def _told(steps: int, returns: list[float], logged: Logged) -> Told:
    each = {"steps": steps, "trials": len(returns), "return_sum": float(sum(returns)), "finite": True}
    return Told(**jax.tree.map(lambda value: jnp.asarray(value)[None], each | {"logged": logged}))


def chunks(learner: AbstractPolicyLearner, updates: int) -> list[int]:
    """Updates that are one compiled call each: as equal as can be, so that two programs do at most."""
    most = max(1, LOOK // (learner.envs * learner.length))
    whole, rest = divmod(updates, most)
    return [most] * whole + ([rest] if rest else [])


def check_finite(told: Told) -> None:
    """Raises `InputError` where the environment gave what is not finite."""
    if not np.asarray(told.finite).all():
        raise InputError(
            "the environment gave an observation or reward that is not finite; mend its step or reward; what was "
            "learned before this round is kept"
        )


def _drawing(structure: Any) -> Any:
    """A compiled choice and the action that it stands for, quick to call once a step."""

    def draw(leaves: Any, key: PRNGKeyArray, time_: Int[Array, ""], obs: Float[Array, "o"]) -> tuple[Array, Array]:
        actor = eqx.combine(leaves, structure)
        choice = actor.draw(jax.random.fold_in(key, time_), obs)
        return choice, actor.carried_out(choice)

    return jax.jit(draw)


@eqx.filter_jit
def _begin(key: PRNGKeyArray, env: AbstractEnv, learner: AbstractPolicyLearner) -> Practice:
    return begin(key, env, learner)


@eqx.filter_jit
def _several(
    key: PRNGKeyArray, env: AbstractEnv, learner: AbstractPolicyLearner, now: Practice, updates: int
) -> tuple[Practice, Told]:
    return several(key, env, learner, now, updates)


@eqx.filter_jit
def _init(key: PRNGKeyArray, learner: AbstractPolicyLearner, task: Any) -> Any:
    return learner.init(key, task)


@eqx.filter_jit
def _update(key: PRNGKeyArray, learner: AbstractPolicyLearner, state: Any, batch: Transition) -> tuple[Any, Logged]:
    # past the keys of all choices of the update
    return learner.update(jax.random.fold_in(key, learner.envs * learner.length), state, batch)
