"""The trial loop: a random trial; then fit, act, remember, again."""

import dataclasses
import time
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray

from handful.agents.base import AbstractAgent
from handful.data.dataset import Dataset
from handful.models.base import AbstractDynamics, FitReport
from handful.models.score import OneStep, one_step
from handful.policies.base import AbstractPolicy
from handful.propagation.fan import fan
from handful.task import Task
from handful.training.collect import Piece, Watch, nothing
from handful.training.run import Row
from handful.training.system import System

FAN_HORIZON = 25  # [steps] of the forecasts that a trial is compared with afterwards
PIECE = 10  # [steps] at most between two looks at a trial in progress


class LoopState(eqx.Module):
    """What a checkpoint holds: with it and the configuration, the next trial is determined to the last bit."""

    agent: Any
    data: Dataset


@dataclasses.dataclass(frozen=True)
class Trial:
    """A finished trial: its line in the metrics, and arrays for the record."""

    row: Row
    arrays: dict[str, np.ndarray]
    fit: FitReport | None


@runtime_checkable
class Observer(Protocol):
    """Somebody who watches a run."""

    def fitting(self, trial: int) -> None: ...
    def fitted(self, trial: int, report: FitReport, seconds: float) -> None: ...
    def stepped(self, trial: int, steps: int, return_: float, planned: float | None, step_ms: float) -> None: ...
    def finished(self, trial: Trial) -> None: ...


class Loop:
    """Runs an agent on a system, trial by trial.

    Every random choice of trial k comes from `fold_in(key, k + 1)`, so a run that goes on from a checkpoint does what
    the uninterrupted one would have done.
    """

    def __init__(
        self,
        system: System,
        agent: AbstractAgent,
        key: PRNGKeyArray,
        *,
        trials: int,
        refit_every: int | None = None,
        watch: Watch = nothing,
    ) -> None:
        self.system, self.agent, self.key, self.watch = system, agent, key, watch
        self.refit_every = refit_every
        every = refit_every or system.task.horizon
        self.piece = max(size for size in range(1, PIECE + 1) if every % size == 0)
        self.warm = False
        self.rows = -(-system.task.horizon // self.piece) * self.piece  # of a trial, padded
        self.capacity = (trials + 1) * self.rows

    @property
    def steps(self) -> int:
        """Of a trial, at most."""
        return self.system.task.horizon

    def init(self, capacity: int | None = None) -> LoopState:
        """The state before trial 0, with room for all trials unless `capacity` says otherwise."""
        agent = _init(jax.random.fold_in(self.key, 0), self.agent, self.system.task)
        return LoopState(agent, Dataset.empty(self.system.task, capacity or self.capacity))

    def policy(self, state: LoopState) -> AbstractPolicy:
        """The controller that a state stands for."""
        return self.agent.policy(self.system.task, state.agent)

    def header(self, state: LoopState) -> dict[str, Any]:
        """What a checkpoint must say of a state so that `like` can make its equal in structure."""
        return {"capacity": state.data.capacity}

    def like(self, header: dict[str, Any]) -> LoopState:
        return self.init(header["capacity"])

    def grown(self, state: LoopState) -> LoopState:
        """The state with room for all trials."""
        return (
            state if state.data.capacity >= self.capacity else LoopState(state.agent, state.data.grown(self.capacity))
        )

    def films(self, index: int) -> bool:
        """Whether a trial is worth filming: each of them is."""
        return True

    def trial(self, index: int, state: LoopState, rows: list[Row], observer: Observer) -> tuple[LoopState, Trial]:
        """Run trial `index` after those in `rows`; trial 0 explores, later ones fit first."""
        tally = Tally()
        trial_key, fit_key, score_key = self.keys(index)
        if index > 0:
            state = self._fit(fit_key, index, state, tally, observer)
        first_model = self.agent.model(state.agent)
        policy = policy_of(self.agent, self.system.task, trial_key, state.agent, explores=index == 0)
        self.system.start(trial_key, policy)

        over = False
        while not over:
            if index > 0 and self.refit_every and tally.steps and tally.steps % self.refit_every == 0:
                state = self._fit(jax.random.fold_in(fit_key, tally.steps), index, state, tally, observer)
                policy = self.agent.policy(self.system.task, state.agent)
            began = time.perf_counter()
            piece, over = self.system.advance(policy, steps=self.piece, watch=self.watch if index > 0 else nothing)
            seconds = time.perf_counter() - began - getattr(self.system, "drawing_s", 0.0)
            tally.add(jax.tree.map(np.asarray, piece), seconds=seconds)
            data = state.data.add(jax.tree.map(jnp.asarray, piece.transitions), index, int(piece.valid.sum()))
            state = LoopState(state.agent, data)
            observer.stepped(index, tally.steps, tally.return_, tally.planned, tally.step_ms[-1])

        done = self.finished(index, score_key, tally, first_model, rows)
        observer.finished(done)
        return state, done

    def keys(self, index: int) -> Key[Array, "3"]:
        """The keys of trial `index`: for acting, for fitting, for scoring."""
        return jax.random.split(jax.random.fold_in(self.key, index + 1), 3)

    def finished(
        self, index: int, key: PRNGKeyArray, tally: "Tally", model: AbstractDynamics, rows: list[Row]
    ) -> Trial:
        """The record of a trial after those in `rows`; the model is held against it only if it drove it."""
        if index > 0 and not self.warm:  # the first call compiled: that is no planning time
            tally.step_ms, self.warm = tally.step_ms[1:] or tally.step_ms, True
        before = rows[-1] if rows else None
        whole = tally.whole(self.rows)
        arrays = tally.arrays(self.rows)
        score = None
        if index > 0:
            score = _score(key, model, whole, angles=self.system.task.angles)
            arrays |= self._fan(key, model, whole)
        row = Row(
            trial=index,
            env_steps=tally.steps + (before.env_steps if before else 0),
            return_=tally.return_,
            planned_return=tally.planned_return(whole),
            model_nll=None if score is None else float(score.nll),
            model_rmse=None if score is None else float(score.rmse),
            plan_ms_p50=float(np.percentile(tally.step_ms, 50)) if index > 0 else None,
            plan_ms_p99=float(np.percentile(tally.step_ms, 99)) if index > 0 else None,
            fit_s=tally.fit_seconds,
            wall_s=time.perf_counter() - tally.began + (before.wall_s if before else 0.0),
        )
        return Trial(row, arrays, tally.report)

    def _fit(self, key: PRNGKeyArray, index: int, state: LoopState, tally: "Tally", observer: Observer) -> LoopState:
        observer.fitting(index)
        began = time.perf_counter()
        agent, report = jax.block_until_ready(_fit(key, self.agent, self.system.task, state.agent, state.data))
        seconds = time.perf_counter() - began
        tally.report, tally.fit_seconds = report, tally.fit_seconds + seconds
        observer.fitted(index, report, seconds)
        return LoopState(agent, state.data)

    def _fan(self, key: PRNGKeyArray, model: AbstractDynamics, whole: Piece) -> dict[str, np.ndarray]:
        steps, horizon = int(whole.valid.sum()), min(FAN_HORIZON, self.system.task.horizon)
        starts = np.arange(0, self.system.task.horizon - horizon + 1, horizon)
        obs, actions = whole.transitions.obs, whole.transitions.action
        particles = np.asarray(_fan(key, model, obs, actions, jnp.asarray(starts), horizon=horizon))
        seen = starts + horizon <= steps
        return {"fan_starts": starts[seen], "fan_obs": particles[seen]}


def policy_of(agent: AbstractAgent, task: Task, key: PRNGKeyArray, state: Any, *, explores: bool) -> AbstractPolicy:
    """Who acts in a trial: the explorer of the first one, the controller that the agent's state stands for later."""
    if explores:
        return agent.explorer(jax.random.fold_in(key, task.horizon + 1), task)
    return agent.policy(task, state)


class Tally:
    """What a trial in progress has come to."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.pieces: list[Piece] = []
        self.step_ms: list[float] = []
        self.fit_seconds = 0.0
        self.report: FitReport | None = None
        self.steps = 0
        self.return_ = 0.0
        self.planned: float | None = None  # over the planning horizon, at the last step

    def add(self, piece: Piece, *, seconds: float) -> None:
        """Count a piece in."""
        self.pieces.append(piece)
        self.step_ms.append(1e3 * seconds / len(piece.valid))
        self.steps += int(piece.valid.sum())
        self.return_ += float(piece.transitions.reward[piece.valid].sum())
        if piece.watched is not None:
            self.planned = float(piece.watched.planned_return[piece.valid][-1])

    def whole(self, rows: int) -> Piece:
        """All pieces as one of `rows` rows, so that a trial that ends early recompiles nothing."""
        missing = rows - sum(len(piece.valid) for piece in self.pieces)

        def joined(*parts: np.ndarray) -> np.ndarray:
            return np.concatenate([*parts, np.zeros((missing, *parts[0].shape[1:]), parts[0].dtype)])

        return jax.tree.map(joined, *self.pieces)

    def arrays(self, rows: int) -> dict[str, np.ndarray]:
        """The trial as named arrays, only rows that happened."""
        whole = self.whole(rows)
        transitions, watched = jax.tree.map(lambda leaf: leaf[whole.valid], (whole.transitions, whole.watched))
        arrays = {field: getattr(transitions, field) for field in transitions.__dataclass_fields__}
        arrays |= {"step_ms": np.array(self.step_ms)}
        if watched is not None:
            arrays |= {field: getattr(watched, field) for field in watched.__dataclass_fields__}
        return arrays

    @staticmethod
    def planned_return(whole: Piece) -> float | None:
        """What was planned for the trial: the planned return per step of horizon, summed over the steps."""
        if whole.watched is None:
            return None
        return float(whole.watched.planned_return[whole.valid].sum() / whole.watched.plan.shape[1])


@eqx.filter_jit
def _fit(key: PRNGKeyArray, agent: AbstractAgent, task: Task, state: Any, data: Dataset) -> tuple[Any, FitReport]:
    return agent.fit(key, task, state, data)


@eqx.filter_jit
def _init(key: PRNGKeyArray, agent: AbstractAgent, task: Task) -> Any:
    return agent.init(key, task)


_fan = eqx.filter_jit(fan)


@eqx.filter_jit
def _score(key: PRNGKeyArray, model: AbstractDynamics, whole: Piece, *, angles: tuple[int, ...]) -> OneStep:
    return one_step(key, model, whole.transitions, whole.valid, angles=angles)
