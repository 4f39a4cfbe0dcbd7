"""What a stage of a run (a trial, or a round of updates) has come to so far."""

import time
from typing import Any

import jax
import numpy as np

from handful.interaction import UpdateMetrics
from handful.training.rollout import Piece
from handful.training.seeds import to_host

Recorded = dict[str, np.ndarray]  # metrics by name; those of updates have a leading axis u


class Tally:
    """Counts steps, returns, times and metrics of one stage of one seed."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.pieces: list[Piece] = []  # of the trial
        self.updates: list[Recorded] = []
        self.steps = 0  # of interaction
        self.step_ms: list[float] = []  # a step of interaction
        self.learning_s = 0.0
        self.reward_sum = 0.0  # of the trial
        self.episodes = 0  # that ended, where a stage is a round
        self.episode_return_sum = 0.0
        self.planned: float | None = None  # return over the planning horizon, at the last step
        self.metrics: dict[str, float | None] = {}  # beside those of updates
        self.arrays: Recorded = {}  # for the record

    @property
    def seconds(self) -> float:
        """Since the stage began [s]."""
        return time.perf_counter() - self.began

    @property
    def return_(self) -> float:
        """Of the trial so far; where a stage is a round, the mean over its episodes, NaN while none has ended."""
        if self.pieces:
            return self.reward_sum
        return self.episode_return_sum / self.episodes if self.episodes else float("nan")

    def add_piece(self, piece: Piece, seconds: float) -> None:
        """Count consecutive steps of the trial."""
        self.pieces.append(piece)
        self.step_ms.append(1e3 * seconds / len(piece.valid))
        self.steps += int(piece.valid.sum())
        self.reward_sum += float(piece.transitions.reward[piece.valid].sum())
        if "planned_return" in piece.info and piece.valid.any():
            self.planned = float(piece.info["planned_return"][piece.valid][-1])

    def add_update(self, metrics: Recorded, seconds: float) -> None:
        """Count updates."""
        self.updates.append(metrics)
        self.learning_s += seconds

    def add_round(self, done: UpdateMetrics, seconds: float) -> None:
        """Count updates of a round, and the steps before each."""
        self.add_update(to_host(done.metrics), seconds)
        self.steps += int(done.steps.sum())
        self.episodes += int(done.episodes.sum())
        self.episode_return_sum += float(done.return_sum.sum())

    def trial(self) -> Recorded:
        """The trial by name: transitions and what the policy recorded, valid rows only."""
        whole = joined(self.pieces, sum(len(piece.valid) for piece in self.pieces))
        transitions, info = jax.tree.map(lambda leaf: leaf[whole.valid], (whole.transitions, whole.info))
        return vars(transitions) | {"step_ms": np.array(self.step_ms)} | info

    def of_updates(self) -> Recorded:
        """Metrics of all updates by name, on a leading axis u."""
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *self.updates) if self.updates else {}


def whole_trial(system: Any, key: Any, policy: Any, steps: int) -> Tally:
    """A trial from which nothing is learned, in pieces of `steps` steps."""
    tally, over = Tally(), False
    system.start(key, policy)
    while not over:
        piece, over = system.advance(policy, steps=steps)
        tally.add_piece(to_host(piece), 0.0)
    return tally


def joined(pieces: list[Piece], rows: int) -> Piece:
    """Pieces one after the other, padded to `rows` rows, so that a trial that ends early recompiles nothing."""
    missing = rows - sum(len(piece.valid) for piece in pieces)

    def join(*parts: Any) -> np.ndarray:
        return np.concatenate([*map(np.asarray, parts), np.zeros((missing, *parts[0].shape[1:]), parts[0].dtype)])

    return jax.tree.map(join, *pieces)
