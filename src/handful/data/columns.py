"""The columns of a recorded file, and the trials that they are cut into."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from handful.errors import InputError
from handful.types import Transition

MOST_NUMBERS = 100_000_000  # of a file: 0.8 GB in double precision, of which a few copies are held
CLOCK = r"step|frame|(time|t|(time[ _]?)?stamp)([\s_]*[\[(].*|[ _](s|ms|us|ns|sec|seconds))?"
FAR = 0.5  # [usual steps] by which a step of the clock may differ from the usual one
LARGEST = float(np.sqrt(np.finfo(np.float32).max))  # no variance of anything larger exists in single precision
RESOLVED = 0.01  # rounding over change, root mean square: at this ratio R2 is off by 1e-4
MOST_TRIAL = np.iinfo(np.int32).max


@dataclasses.dataclass(frozen=True)
class Columns:
    """The rows of a file in double precision; `next_obs` is None if it is the obs of the following row."""

    obs: np.ndarray
    action: np.ndarray
    next_obs: np.ndarray | None
    trial: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    ended: np.ndarray  # terminated, truncated or done: True where the step ended its trial
    breaks: dict[str, np.ndarray]  # by cause: True for rows that do not follow the row above

    @classmethod
    def joined(cls, parts: Sequence["Columns"]) -> "Columns":
        """All rows, one part after the other, without breaks within a part."""
        one = lambda name: np.concatenate([getattr(part, name) for part in parts])
        following = None if parts[0].next_obs is None else one("next_obs")
        names = ("trial", "reward", "terminated", "ended")
        return cls(one("obs"), one("action"), following, *map(one, names), breaks={})

    def numbers(self) -> dict[str, np.ndarray]:
        """The arrays that enter transitions, by name."""
        given = {name: getattr(self, name) for name in ("obs", "action", "reward", "terminated")}
        return given if self.next_obs is None else given | {"next_obs": self.next_obs}


def trials_of(path: Path, rows: Columns, names: tuple[str, ...] | None) -> tuple[dict[int, Transition], list[str]]:
    """Trials without rows that are not finite or absurdly large, and notes on what was cut and left out.

    Raises `InputError` if no row is left, and if the default float type does not resolve the changes of an entry.
    """
    rows, notes = _cleared(rows)
    pieces, cuts = _cut(rows)
    trials, dropped, total = {}, 0, 0
    for number, piece in pieces.items():
        one = {name: value[piece] for name, value in rows.numbers().items()}
        if rows.next_obs is None:
            one = {name: value[:-1] for name, value in one.items()} | {"next_obs": one["obs"][1:]}
        finite = np.all([_finite(value) for value in one.values()], axis=0)
        dropped, total = dropped + int((~finite).sum()), total + len(finite)
        if finite.any():
            trials[number] = {name: value[finite] for name, value in one.items()}
    lost = f"{dropped} of {total} transitions are not finite and were left out."
    if not trials:
        few = [] if total else ["each step needs two rows of one trial"]
        reasons = [f"{dropped} of {total} are not finite", *few, *(note.rstrip(".") for note in cuts + notes)]
        raise InputError(f"{path} contains no valid transition: {'; '.join(reasons)}")
    unresolved = _check_resolved(path, trials, names)
    kept = {number: _transitions(one) for number, one in trials.items()}
    return kept, [*cuts, *notes, *([lost] if dropped else []), *unresolved]


def jumps(path: Path, name: str, clock: np.ndarray) -> np.ndarray:
    """True for rows whose clock is not one usual step, the median of forward ones, after that of the row above.

    Raises `InputError` if most steps are unusual, so that the rows have no common step.
    """
    steps = np.diff(clock)
    forward = steps[np.isfinite(steps) & (steps > 0)]
    usual = np.median(forward) if len(forward) else np.nan
    unusual = lambda steps: ~(np.abs(steps - usual) <= FAR * usual)
    if len(forward) and unusual(forward).mean() > 0.5:
        raise InputError(
            f"{path}: rows must be one common step apart, and those of the column {name} differ: from "
            f"{forward.min():.3g} to {forward.max():.3g}; resample the record, or leave the column out"
        )
    return np.concatenate([[False], unusual(steps)])[: len(clock)]


def trial_numbers(path: Path, trial: np.ndarray) -> np.ndarray:
    """Raises `InputError` for a row whose trial is not an integer."""
    wrong = ~(np.isfinite(trial) & (trial == np.round(trial)) & (trial >= 0) & (trial <= MOST_TRIAL))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{path}: trial must be an integer of at least 0 and at most {MOST_TRIAL} in each row, and in row "
            f"{row + 1} of the data it is {'no number' if np.isnan(trial[row]) else f'{trial[row]:g}'}"
        )
    return trial.astype(int)


def is_clock(name: str) -> bool:
    """Whether a column of this name counts time: "time [s]", "t", "Stamp", "step"."""
    return re.fullmatch(CLOCK, name.strip().lower()) is not None


def check_numbers(path: Path, rows: int, columns: int) -> None:
    """Raises `InputError` if a file holds more numbers than fit."""
    if rows * columns > MOST_NUMBERS:
        raise InputError(
            f"{path} holds {rows} rows of {columns} numbers, and at most {MOST_NUMBERS} numbers are read; record "
            "fewer rows, or every second one"
        )


def _cut(rows: Columns) -> tuple[dict[int, np.ndarray], list[str]]:
    """The indices of the rows of each trial, and notes.

    A number that comes again after another one is a further trial, unless the rows of trials alternate.
    """
    count = len(rows.trial)
    changes = np.concatenate([[True], rows.trial[1:] != rows.trial[:-1]])[:count]
    order, notes = np.arange(count), []
    if changes.sum() > max(count / 2, len(np.unique(rows.trial))):  # the rows of several trials alternate
        order = np.argsort(rows.trial, kind="stable")
        changes = np.concatenate([[True], np.diff(rows.trial[order]) != 0])
        notes = ["Rows of several trials alternate, and were sorted by trial."]
        rows = dataclasses.replace(rows, breaks={})
    begins, found = changes.copy(), []
    for cause, broken in rows.breaks.items():
        found.append((cause, int((broken & ~begins).sum())))
        begins |= broken
    flagged = _after_end(rows.ended[order], begins, last=rows.next_obs is not None)
    found.append(("ends in the middle of trials", int((flagged & ~begins).sum())))
    begins |= flagged
    pieces: dict[int, np.ndarray] = {}
    further = iter(range(int(rows.trial.max(initial=-1)) + 1, MOST_TRIAL))
    for piece in np.split(order, np.flatnonzero(begins)[1:]):
        if len(piece):
            number = int(rows.trial[piece[0]])
            pieces[next(further) if number in pieces else number] = piece
    again = int(changes.sum()) - len(np.unique(rows.trial))
    found.append(("returns to earlier trial numbers", again))
    causes = [f"{cause} ({number})" for cause, number in found if number]
    if causes:
        notes.append(f"The rows were cut into {len(pieces)} trials, also at {' and '.join(causes)}.")
    return pieces, notes


def _after_end(ended: np.ndarray, begins: np.ndarray, *, last: bool) -> np.ndarray:
    """True for rows that follow the end of a trial.

    Where `next_obs` is the following row (not `last`), the observation that a trial ended in may be the last of its
    rows: one more row before the next trial belongs to it.
    """
    after = np.concatenate([[False], ended[:-1]])[: len(ended)]
    if last:
        return after
    return after & ~np.concatenate([begins[1:], [True]])[: len(ended)]


def _cleared(rows: Columns) -> tuple[Columns, list[str]]:
    """Values that no model can use as NaN, so that their rows are left out: see `_absurd`."""
    notes, numbers = [], rows.numbers()
    if rows.next_obs is not None:  # judged by the same measure as obs
        numbers["obs"] = np.concatenate([rows.obs, numbers.pop("next_obs")])
    for name, values in numbers.items():
        wrong = _absurd(values)
        if wrong.any():
            count = int(wrong.reshape(len(wrong), -1).any(1).sum())
            notes.append(
                f"Values of {name} were left out ({count}), since all others vanish beside them or no square of them "
                f"exists, such as {values[wrong][0]:.3g}."
            )
            numbers[name] = np.where(wrong, np.nan, values)
    if rows.next_obs is not None:
        numbers["obs"], numbers["next_obs"] = np.split(numbers["obs"], 2)
    return dataclasses.replace(rows, **numbers), notes


def _absurd(values: np.ndarray) -> np.ndarray:
    """Finite values with no square in single precision, and those beside which it tells no others of a column apart.

    The distances of a column from its median are ranked: one that exceeds the next by more than the inverse of the
    resolution makes all smaller ones equal. Values that are equal to within the resolution are no measure.
    """
    table = values.reshape(len(values), values[0].size if len(values) else 0)
    finite = _finite(table, each=True)
    wrong = finite & (np.abs(table) > LARGEST)
    usable = np.where(finite & ~wrong, table, np.nan)
    eps = float(np.finfo(np.float32).eps)
    for index in np.flatnonzero(np.isfinite(usable).any(0)):
        column = usable[:, index]
        median = np.nanmedian(column)
        far = np.abs(column - median)
        ranked = np.sort(far[np.isfinite(far) & (far > eps * abs(median))])
        gaps = np.flatnonzero(ranked[1:] * eps > ranked[:-1])
        if len(gaps):
            wrong[:, index] |= far > ranked[gaps[0]]
    return wrong.reshape(values.shape)


def _finite(values: np.ndarray, *, each: bool = False) -> np.ndarray:
    """True for rows, or each value, that are finite in the default float type."""
    fine = np.abs(values) <= float(jnp.finfo(jnp.zeros(()).dtype).max)
    return fine if each else np.asarray(fine.all(tuple(range(1, values.ndim))))


def _check_resolved(path: Path, trials: dict[int, dict[str, np.ndarray]], names: tuple[str, ...] | None) -> list[str]:
    """Notes on entries that count as constant. Raises `InputError` for one whose changes rounding hides."""
    dtype = jnp.zeros(()).dtype
    kept = lambda values: values.astype(dtype).astype(float)
    obs, following, action = (
        np.concatenate([one[name] for one in trials.values()]) for name in ("obs", "next_obs", "action")
    )
    change = following - obs
    error = kept(following) - kept(obs) - change
    labels = names or tuple(f"obs {index}" for index in range(obs.shape[1]))
    both = np.concatenate([obs, following])
    notes = list(_unresolved(path, labels, both, (error, change)))
    spread = action - action.mean(0)
    labels = tuple(f"action {index}" for index in range(action.shape[1]))
    return notes + list(_unresolved(path, labels, action, (kept(action) - action, spread)))


def _unresolved(
    path: Path, labels: tuple[str, ...], values: np.ndarray, errors: tuple[np.ndarray, np.ndarray]
) -> Iterator[str]:
    rounding, change = (np.sqrt(np.mean(each**2, 0)) for each in errors)
    dtype = jnp.zeros(()).dtype
    size = np.abs(values).max(0)
    resolution = jnp.finfo(dtype).eps * size
    for index in np.flatnonzero(rounding > RESOLVED * change):
        what = f"entry {labels[index]} is below the resolution: its values near {size[index]:.6g} change by about "
        what += f"{change[index]:.2g}, and {dtype} resolves {resolution[index]:.2g}"
        if np.ptp(values[:, index]) > 2 * resolution[index]:
            raise InputError(f"{path}: {what}; subtract a constant from this column, or use double precision")
        yield f"{what[0].upper()}{what[1:]}; it counts as constant."


def _transitions(one: dict[str, np.ndarray]) -> Transition:
    """The rows of a trial; the last one is truncated, unless it terminated."""
    obs, action, reward, next_obs = (jnp.asarray(one[name], float) for name in ("obs", "action", "reward", "next_obs"))
    terminated = one["terminated"] > 0
    truncated = (np.arange(len(terminated)) == len(terminated) - 1) & ~terminated
    return Transition(obs, action, reward, next_obs, jnp.asarray(terminated), jnp.asarray(truncated))
