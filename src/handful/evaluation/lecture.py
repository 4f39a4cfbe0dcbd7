"""The lecture's chart as one page: all methods on all tasks, what each needed, and the raw curves."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful.evaluation import lecture_figure, page
from handful.evaluation.comparison import csv_text, place, span
from handful.evaluation.facts import number
from handful.evaluation.kinds import UNKNOWN
from handful.evaluation.lecture_figure import Style
from handful.evaluation.methods import Board, Method, boards
from handful.evaluation.page import Picture, Section
from handful.evaluation.run_groups import TOGETHER, read_runs
from handful.evaluation.standing import doubts
from handful.training.files import write_whole

READING = (
    "A point is one row of a run's metrics: for an agent that learns trial by trial the return of a single trial, for "
    "one that learns round by round the mean over the trials that ended in the round, exploring included. Nothing is "
    "smoothed: lines of trials are rougher than lines of rounds, and a single trial may be lucky in where it starts. "
    "A point of a mean is of all seeds after as many trials or rounds: their mean steps, seconds and return. Lines "
    "only join points. What an untrained policy does before the first round has no place on a log axis."
)
MARKS = "Thick lines are means over seeds, thin ones seeds. Dashes: learned on the cells of a grid."
AIMED = " Dotted: what counts as solved."
LAST = "Last return: of the last trial or round that all seeds of a method have; mean, std and least over seeds."


def write_lecture(paths: Sequence[Path], out: Path, threshold: float | None = None) -> Path:
    """Chart the runs below `paths`: `figures/*.png`, `curves.csv`, `ladder.csv` and, last, `lecture.html`.

    Returns the page's path. Raises `InputError` where there is nothing to draw, a threshold is given for several tasks,
    or `out` cannot be written.
    """
    runs, notes = read_runs(paths)
    told = boards(runs, threshold)
    methods = [method for board in told for method in board.methods]
    style = lecture_figure.styles(sorted(methods, key=lambda method: method.order))
    pictures = [_picture(board, style) for board in told]
    for picture in pictures:
        write_whole(out / picture.file, picture.data)
    write_whole(out / "curves.csv", _curves(told))
    write_whole(out / "ladder.csv", _ladder(told))
    sections = [
        *(_section(board, picture) for board, picture in zip(told, pictures, strict=True)),
        Section("How to read it", READING),
        _again(paths, threshold),
    ]
    count, tasks = len(style), len(told)
    whole = page.page(
        "Return against samples and wall-clock",
        f"{count} method{'s' if count != 1 else ''}, {tasks} task{'s' if tasks != 1 else ''}, {len(runs)} runs",
        " ".join(map(verdict, told)),
        page.notes([*notes, *remarks(told)]),
        sections,
    )
    write_whole(out / "lecture.html", whole)
    return out / "lecture.html"


def verdict(board: Board) -> str:
    """Who needed the fewest samples, and who the most, in a sentence."""
    name = Path(board.task).name
    if board.threshold is None:
        return f"What return counts as solved on {name} is not laid down."
    did = [method for method in climbed(board) if np.isfinite(np.median(method.standing.reached_steps))]
    aim = f"a return of {number(board.threshold)}"
    if not did:
        return f"On {name} no method reached {aim} with half of its seeds."
    said = f"On {name} {_who(did[0])} took the fewest steps to {aim}: {_steps(did[0])}"
    return said + (f"; {_who(did[-1])} the most: {_steps(did[-1])}." if len(did) > 1 else ".")


def climbed(board: Board) -> list[Method]:
    """The methods by what they needed to reach the threshold: fewest samples first, those that did not by return."""
    return sorted(
        board.methods, key=lambda each: (float(np.median(each.standing.reached_steps)), -each.standing.mean.middle)
    )


def remarks(told: Sequence[Board]) -> list[str]:
    """What a reader should know before believing the picture."""
    methods = [method for board in told for method in board.methods]
    said = [
        f"On {Path(board.task).name}: {doubt}"
        for board in told
        for method in board.methods
        for doubt in doubts(method.group)
    ]
    beside = list(dict.fromkeys(method.label for method in methods if TOGETHER in method.group.runs[0].settings))
    if beside:
        said.append(f"Seeds learned side by side, and wall-clock is of all seeds together: {', '.join(beside)}.")
    strange = list(dict.fromkeys(method.label for method in methods if method.kind.experience == UNKNOWN))
    if strange:
        said.append(f"Of no agent whose kind is known: {', '.join(strange)}.")
    if len({method.devices for method in methods}) > 1:
        said.append("Wall-clock is of different machines; the tables say which.")
    return said


def _who(method: Method) -> str:
    return f"{method.label} ({method.kind.experience})"


def _steps(method: Method) -> str:
    return place(float(np.median(method.standing.reached_steps)))


def _picture(board: Board, style: dict[str, Style]) -> Picture:
    name = re.sub(r"[^\w.-]+", "-", board.task).strip("-")
    figure = lecture_figure.chart(Path(board.task).name, board.methods, board.threshold, style)
    return Picture.drawn(name, figure, MARKS + (AIMED if board.threshold is not None else ""))


def _section(board: Board, picture: Picture) -> Section:
    aimed = board.threshold is not None
    columns = ["", "kind", "steps", "last return", "std", "least", "device"]
    text = LAST
    if aimed:
        columns[3:3] = [f"reached {number(board.threshold)}", "after steps", "after seconds"]
        text = (
            f"Steps and seconds to the end of the first trial or round with a return of {number(board.threshold)} or "
            f"more: medians over seeds, those that never had one included. {LAST}"
        )
    rows = [_row(method, aimed=aimed) for method in climbed(board)]
    return Section(Path(board.task).name, text, below=picture.html() + page.table(columns, rows))


def _row(method: Method, *, aimed: bool) -> list[str]:
    standing = method.standing
    row = [method.label, method.kind.experience, span(standing.steps)]
    if aimed:
        medians = [float(np.median(reached)) for reached in (standing.reached_steps, standing.reached_wall)]
        row += [f"{standing.reached_count} of {standing.seeds}", *map(place, medians)]
    return [*row, *map(number, (standing.mean.middle, standing.std, standing.returns.min())), method.devices]


def _again(paths: Sequence[Path], threshold: float | None) -> Section:
    words = ["handful", "compare", "--lecture", *map(str, paths)]
    words += [] if threshold is None else ["--threshold", f"{threshold:g}"]
    text = "curves.csv holds every point of every seed, ladder.csv the tables of this page, both with all digits."
    return Section("To repeat this", text, below=page.code(shlex.join(words)))


def _curves(told: Sequence[Board]) -> str:
    rows = [
        (board.task, method.label, method.kind.experience, run.curve.seed, trial, int(steps), float(wall), float(value))
        for board in told
        for method in board.methods
        for run in method.group.runs
        for trial, (steps, wall, value) in enumerate(
            zip(run.curve.env_steps, run.curve.wall_s, run.curve.returns, strict=True)
        )
    ]
    return csv_text(["task", "method", "kind", "seed", "trial", "env_steps", "wall_s", "return"], rows)


def _ladder(told: Sequence[Board]) -> str:
    rows: list[dict[str, Any]] = []
    for board in told:
        for method in climbed(board):
            facts = {"task": board.task, "method": method.label, "kind": method.kind.experience}
            facts |= {"learns": method.kind.learns, "device": method.devices}
            row = method.standing.as_row(board.threshold)
            rows.append(facts | {name: value for name, value in row.items() if name != "group"})
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return csv_text(columns, [[row.get(name, "") for name in columns] for row in rows])
