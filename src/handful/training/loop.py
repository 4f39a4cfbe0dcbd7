"""The trial loop: a random trial; then fit, act, remember, again."""

import dataclasses
import time
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from handful.agents.base import AbstractAgent
from handful.data.dataset import Dataset
from handful.models.base import AbstractDynamics, FitReport
from handful.models.score import OneStep, one_step
from handful.propagation.fan import fan
from handful.task import Task
from handful.training.collect import Piece, Watch, nothing
from handful.training.run import Row
from handful.training.system import System
from handful.types import Transition

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


class Observer(Protocol):
    """Somebody who watches a run."""

    def fitting(self, trial: int) -> None: ...
    def fitted(self, trial: int, report: FitReport, seconds: float) -> None: ...
    def stepped(self, trial: int, steps: int, return_: float, planned: float | None, step_ms: float) -> None: ...
    def finished(self, trial: Trial) -> None: ...


class Loop:
    """Runs an agent on a system, trial by trial.

    Every random choice of trial k comes from `fold_in(key, k + 1)`, so a run that goes on from a checkpoint does what the
    uninterrupted one would have done.
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
        self.capacity = (trials + 1) * -(-system.task.horizon // self.piece) * self.piece

    def init(self, capacity: int | None = None) -> LoopState:
        """The state before trial 0, with room for all trials unless `capacity` says otherwise."""
        agent = _init(jax.random.fold_in(self.key, 0), self.agent, self.system.task)
        return LoopState(agent, Dataset.empty(self.system.task, capacity or self.capacity))

    def trial(self, index: int, state: LoopState, rows: list[Row], observer: Observer) -> tuple[LoopState, Trial]:
        """Run trial `index` after those in `rows`; trial 0 explores, later ones fit first."""
        began = time.perf_counter()
        trial_key, fit_key, score_key = jax.random.split(jax.random.fold_in(self.key, index + 1), 3)
        fit_seconds, report = 0.0, None
        if index > 0:
            state, report, fit_seconds = self._fit(fit_key, index, state, observer)
        start_model = self.agent.model(state.agent)
        policy = self._policy(trial_key, index, state)
        watch = self.watch if index > 0 else nothing
        self.system.start(trial_key, policy)

        pieces: list[Piece] = []
        step_ms: list[float] = []
        over, steps, total, refit_at = False, 0, 0.0, self.refit_every
        while not over:
            if index > 0 and refit_at is not None and self.refit_every and steps >= refit_at:
                state, report, seconds = self._fit(jax.random.fold_in(fit_key, steps), index, state, observer)
                fit_seconds, refit_at = fit_seconds + seconds, refit_at + self.refit_every
                policy = self._policy(trial_key, index, state)
            before = time.perf_counter()
            piece, over = self.system.advance(policy, steps=self.piece, watch=watch)
            step_ms.append(1e3 * (time.perf_counter() - before) / self.piece)
            piece = jax.tree.map(np.asarray, piece)
            state = LoopState(state.agent, state.data.add(_device(piece.transitions), index, piece.valid.sum()))
            pieces.append(piece)
            steps, total = steps + int(piece.valid.sum()), total + float(piece.transitions.reward[piece.valid].sum())
            planned = None if piece.watched is None else float(piece.watched.planned_return[-1])
            observer.stepped(index, steps, total, planned, step_ms[-1])

        if index > 0 and not self.warm:  # the first call compiled: that is no planning time
            step_ms, self.warm = step_ms[1:] or step_ms, True
        whole = jax.tree.map(lambda *parts: np.concatenate(parts), *pieces)
        score = _score(score_key, start_model, whole) if index > 0 else None
        row = self._row(index, whole, score, np.array(step_ms), fit_seconds, rows, time.perf_counter() - began)
        arrays = _arrays(whole, np.array(step_ms))
        if index > 0:
            arrays |= self._fan(score_key, start_model, whole)
        done = Trial(row, arrays, report)
        observer.finished(done)
        return state, done

    def _policy(self, key: PRNGKeyArray, index: int, state: LoopState) -> Any:
        if index == 0:
            return self.agent.explorer(jax.random.fold_in(key, self.system.task.horizon + 1), self.system.task)
        return self.agent.policy(self.system.task, state.agent)

    def _fit(
        self, key: PRNGKeyArray, index: int, state: LoopState, observer: Observer
    ) -> tuple[LoopState, FitReport, float]:
        observer.fitting(index)
        began = time.perf_counter()
        agent, report = jax.block_until_ready(_fit(key, self.agent, state.agent, state.data))
        seconds = time.perf_counter() - began
        observer.fitted(index, report, seconds)
        return LoopState(agent, state.data), report, seconds

    def _fan(self, key: PRNGKeyArray, model: AbstractDynamics, whole: Piece) -> dict[str, np.ndarray]:
        steps, horizon = int(whole.valid.sum()), min(FAN_HORIZON, self.system.task.horizon)
        starts = np.arange(0, self.system.task.horizon - horizon + 1, horizon)
        obs, actions = whole.transitions.obs, whole.transitions.action
        particles = np.asarray(_fan(key, model, obs, actions, jnp.asarray(starts), horizon=horizon))
        seen = starts + horizon <= steps
        return {"fan_starts": starts[seen], "fan_obs": particles[seen]}

    def _row(
        self,
        index: int,
        whole: Piece,
        score: OneStep | None,
        step_ms: np.ndarray,
        fit_seconds: float,
        rows: list[Row],
        seconds: float,
    ) -> Row:
        steps = int(whole.valid.sum())
        planned = None
        if whole.watched is not None:
            horizon = whole.watched.plan.shape[1]
            planned = float(whole.watched.planned_return[whole.valid].sum() / horizon)
        return Row(
            trial=index,
            env_steps=steps + (rows[-1].env_steps if rows else 0),
            return_=float(whole.transitions.reward[whole.valid].sum()),
            planned_return=planned,
            model_nll=None if score is None else float(score.nll),
            model_rmse=None if score is None else float(score.rmse),
            plan_ms_p50=float(np.percentile(step_ms, 50)) if index > 0 else None,
            plan_ms_p99=float(np.percentile(step_ms, 99)) if index > 0 else None,
            fit_s=fit_seconds,
            wall_s=seconds + (rows[-1].wall_s if rows else 0.0),
        )


def _arrays(whole: Piece, step_ms: np.ndarray) -> dict[str, np.ndarray]:
    """The trial as named arrays, only rows that happened."""
    kept = jax.tree.map(lambda leaf: leaf[whole.valid], (whole.transitions, whole.watched))
    transitions, watched = kept
    arrays = {field: getattr(transitions, field) for field in transitions.__dataclass_fields__} | {"step_ms": step_ms}
    if watched is not None:
        arrays |= {field: getattr(watched, field) for field in watched.__dataclass_fields__}
    return arrays


def _device(transitions: Transition) -> Transition:
    return jax.tree.map(jnp.asarray, transitions)


@eqx.filter_jit
def _fit(key: PRNGKeyArray, agent: AbstractAgent, state: Any, data: Dataset) -> tuple[Any, FitReport]:
    return agent.fit(key, state, data)


@eqx.filter_jit
def _init(key: PRNGKeyArray, agent: AbstractAgent, task: Task) -> Any:
    return agent.init(key, task)


_fan = eqx.filter_jit(fan)


@eqx.filter_jit
def _score(key: PRNGKeyArray, model: AbstractDynamics, whole: Piece) -> OneStep:
    return one_step(key, model, whole.transitions, whole.valid)
