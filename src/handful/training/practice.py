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
from handful.envs.gymnasium_adapter import GymnasiumEnv
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
    """On an environment of Gymnasium: acting is a compiled step at a time, learning a compiled update.

    Copies of it act side by side, one for each environment of the learner, and one compiled step draws for all. Where
    there can be no copies, whole trials of several environments are trials of this one, one after the other.

    A round begins with resets, so that one run again from its start is the same; the trials that its end cuts off are
    learned from, as ones that go on, and their returns are not counted. The first trial of the first environment in a
    round is kept to be shown.

    Raises `InputError` where a learner of trials that go on has several environments and there is one.
    """

    def __init__(self, system: Hosted, learner: AbstractPolicyLearner) -> None:
        self.envs = system.side_by_side(learner.envs)
        if len(self.envs) != learner.envs and not learner.episodic:
            raise InputError(
                f"the environment cannot be made again, so a learner has one of it, not {learner.envs}: give `envs` as "
                "1, or register the environment with Gymnasium and make it by its id"
            )
        self.system, self.env, self.learner = system, system.env, learner
        self._draw: Any = None  # compiled for the actor's structure, which never changes
        self._choice_size = 0  # found at the first draw

    def init(self, key: PRNGKeyArray) -> HostState:
        return HostState(_init(key, self.learner, self.env.task), jnp.zeros((), int))

    def round(
        self, key: PRNGKeyArray, state: HostState, updates: int, watch: Callable[[Round], None]
    ) -> tuple[HostState, Round]:
        done, walks = Round(), self._begun(jax.random.fold_in(key, int(state.updates)))
        state = HostState(_on_reset(self.learner, state.learner), state.updates)
        for _ in range(updates):
            update_key = jax.random.fold_in(key, int(state.updates))
            leaves, structure = eqx.partition(self.learner.actor(state.learner), eqx.is_array)
            if self._draw is None:
                self._draw = _drawing(structure)
                obs, times = np.stack([walk.obs for walk in walks]), np.arange(len(walks))
                self._choice_size = self._draw(leaves, update_key, times, obs)[0][0].size
            batch, steps, returns = self._met(update_key, walks, leaves)
            began = time.perf_counter()
            learned, logged = jax.block_until_ready(_update(update_key, self.learner, state.learner, batch))
            state = HostState(learned, state.updates + 1)
            done.add(_told(steps, returns, logged), time.perf_counter() - began)
            watch(done)
        done.shown = walks[0].shown()
        return state, done

    def _begun(self, key: PRNGKeyArray) -> list["_Walk"]:
        """All environments at the start of a trial."""
        key = jax.random.fold_in(key, self.learner.envs * self.learner.length + 1)  # past those of an update
        films = [self.system] + [None] * (len(self.envs) - 1)
        return [_Walk(jax.random.fold_in(key, n), *each) for n, each in enumerate(zip(self.envs, films, strict=True))]

    def _met(self, key: PRNGKeyArray, walks: list["_Walk"], actor: Any) -> tuple[Transition, int, list[float]]:
        """What is met until the next update; its steps; the returns of trials that ended.

        The learner's environments have their turns in groups as wide as there are environments here.
        """
        envs, length = self.learner.envs, self.learner.length
        rows = empty_rows(envs * length, self.env.task.obs_size, self._choice_size, walks[0].obs.dtype)
        groups = np.arange(0, envs * length, length).reshape(-1, len(walks))
        steps, returns = zip(*[self._group(key, walks, actor, starts, rows) for starts in groups], strict=True)
        by_time = {
            name: jnp.asarray(values.reshape(envs, length, *values.shape[1:]).swapaxes(0, 1))
            for name, values in rows.items()
        }
        return Transition(**by_time), sum(steps), list(itertools.chain(*returns))

    def _group(
        self,
        key: PRNGKeyArray,
        walks: list["_Walk"],
        actor: Any,
        starts: Int[np.ndarray, "n"],
        rows: dict[str, np.ndarray],
    ) -> tuple[int, list[float]]:
        """Fill a stretch of rows for each walk, from its entry in `starts` on.

        Rows after a whole trial are empty, and do not count.
        """
        going, begins, steps, returns = list(enumerate(walks)), starts.tolist(), 0, []
        for row in range(self.learner.length):
            for _, walk in going:
                if walk.over:
                    walk.reset()
            obs = np.stack([walk.obs for walk in walks])
            choices, actions = map(np.asarray, self._draw(actor, key, starts + row, obs))
            for index, walk in going:
                walk.step(choices[index], actions[index], rows, begins[index] + row)
            steps += len(going)
            returns += [walk.return_ for _, walk in going if walk.over]
            if self.learner.episodic:
                going = [(index, walk) for index, walk in going if not walk.over]
                if not going:
                    break
        return steps, returns


class _Walk:
    """One environment on the host, begun anew when its trial is over.

    With something to film for it, it keeps and films the first trial.
    """

    def __init__(self, key: PRNGKeyArray, env: GymnasiumEnv, film: Hosted | None) -> None:
        self.key, self.env, self.film, self.horizon, self.resets = key, env, film, env.task.horizon, 0
        self.first: list[dict[str, Any]] = []
        self.obs: np.ndarray
        if film is not None:
            film.begin_film()
        self.reset()
        if film is not None:
            film.shoot(0, over=False)

    def reset(self) -> None:
        self.obs = self.env.reset(seed_of(self.key, self.resets))
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
        truncated = (truncated or self.time >= self.horizon) and not terminated
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
        if self.film is not None and self.resets == 1:
            self.first.append(happened | {"action": self.env.to_env_action(action)})
            self.film.shoot(self.time, over=self.over)

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
    """Compiled choices, one an environment, and the actions that they stand for, quick to call once a step."""

    def draw(
        leaves: Any, key: PRNGKeyArray, times: Int[Array, "n"], obs: Float[Array, "n o"]
    ) -> tuple[Float[Array, "n c"], Float[Array, "n a"]]:
        actor = eqx.combine(leaves, structure)
        choices = jax.vmap(lambda time_, each: actor.draw(jax.random.fold_in(key, time_), each))(times, obs)
        return choices, jax.vmap(actor.to_env_action)(choices)

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
def _on_reset(learner: AbstractPolicyLearner, state: Any) -> Any:
    return learner.on_reset(state)


@eqx.filter_jit
def _update(key: PRNGKeyArray, learner: AbstractPolicyLearner, state: Any, batch: Transition) -> tuple[Any, Logged]:
    # past the keys of all choices of the update
    return learner.update(jax.random.fold_in(key, learner.envs * learner.length), state, batch)
