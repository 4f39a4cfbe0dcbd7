"""All methods on all tasks on one page: a chart and a table for each task, and the raw curves."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from handful.agents.catalogue import AGENTS, UNKNOWN
from handful.errors import InputError
from handful.reports import page
from handful.reports.comparison import FILES, command, common_steps, curve_rows, reached_at, span, write_csv
from handful.reports.curve_figures import RAMPS, Style, chart, kind_of, styles
from handful.reports.page import Block, Picture
from handful.reports.wording import count, number
from handful.scores.groups import SeedGroup, SeedRun, unequal_seeds
from handful.training.run_groups import groups_of, read_runs

Board = Sequence[SeedGroup]  # the methods on a task, kinds together

READING = (
    "A point is a row of a run's metrics: the return of a trial, or of a round the mean over the trials that ended in "
    "it, exploration included. Nothing is smoothed: curves of trials are rougher than curves of rounds, and a single "
    "trial may start in a lucky state. A point of a mean is of all seeds after as many trials or rounds: their mean "
    "steps, seconds and return. The return before the first round has no place on a logarithmic axis."
)
MARKS = "Thick lines are means over seeds, thin ones seeds. Dashed: tabular methods."
LAST = "Last return: of the last trial or round that all seeds of a method have; mean, std and least over seeds."


def write_lecture(paths: Sequence[Path], out: Path, threshold: float | None = None) -> Path:
    """Chart the runs below `paths`: `curves.csv`, `ladder.csv`, `figures/*.png` and, last, `lecture.html`.

    Returns the page's path. Raises `InputError` where there is nothing to draw, a threshold is given for several tasks,
    or `out` cannot be written.
    """
    runs, notes = read_runs(paths)
    tasks = boards(runs, threshold)
    methods = [method for board in tasks for method in board]
    style = styles(sorted(methods, key=_order))
    sections = [(Path(board[0].task).name, _section(board, style)) for board in tasks]
    write_csv(out / "curves.csv", [_facts(method) | row for method in methods for row in curve_rows(method)])
    write_csv(out / "ladder.csv", [row for board in tasks for row in _ladder(board)])
    code = page.code(command(paths, threshold, "--lecture"))
    page.write(
        out / "lecture.html",
        "Return against samples and wall-clock",
        f"{count(len(style), 'method')}, {count(len(tasks), 'task')}, {count(len(runs), 'run')}",
        " ".join(map(verdict, tasks)),
        notes=[*notes, *_remarks(methods)],
        sections=[
            *sections,
            ("How to read it", [page.paragraph(READING)]),
            ("Reproduce this page", [page.paragraph(FILES.format("point", "ladder")), code]),
        ],
    )
    return out / "lecture.html"


def boards(runs: Sequence[SeedRun], threshold: float | None = None) -> list[Board]:
    """The methods on each task. Raises `InputError` where a threshold is given for runs of several tasks."""
    tasks = sorted({run.task for run in runs})
    if threshold is not None and len(tasks) > 1:
        found = ", ".join(tasks)
        raise InputError(f"--threshold is a return of one task, got runs of {found}; leave it out, or name runs of one")
    return [_methods([run for run in runs if run.task == task], threshold) for task in tasks]


def verdict(board: Board) -> str:
    """The methods with the fewest and the most steps to the threshold, in a sentence."""
    name = Path(board[0].task).name
    if board[0].threshold is None:
        return f"No solved threshold is defined for {name}."
    threshold = f"a return of {number(board[0].threshold)}"
    first, *others = _ranked(board)
    others = [method for method in others if np.isfinite(_median_steps(method))]
    if np.isinf(_median_steps(first)):
        return f"On {name} no method reached {threshold} with half of its seeds."
    text = f"On {name} {_who(first)} took the fewest steps to {threshold}: {reached_at(_median_steps(first))}"
    return text + (f"; {_who(others[-1])} the most: {reached_at(_median_steps(others[-1]))}." if others else ".")


def _methods(runs: Sequence[SeedRun], threshold: float | None) -> list[SeedGroup]:
    """Groups under the name of their method, with the settings that differ where a method has several."""
    methods = []
    for name, alike in groupby(sorted(runs, key=_name), key=_name):
        groups = groups_of(list(alike), threshold)
        labels = [name if len(groups) == 1 else f"{name}, {group.label}" for group in groups]
        methods += [dataclasses.replace(group, label=label) for group, label in zip(groups, labels, strict=True)]
    return sorted(methods, key=_order)


def _name(run: SeedRun) -> str:
    """The agent; for MPC with its model."""
    agent, model = run.settings.get("agent", "not recorded"), run.settings.get("model")
    return f"{agent} {model}" if agent == "mpc" and model else agent


def _order(method: SeedGroup) -> tuple[int, int, str]:
    """Kinds together, then as in the catalogue; unknown agents come last."""
    place = list(AGENTS).index(method.agent) if method.agent in AGENTS else len(AGENTS)
    return list(RAMPS).index(kind_of(method).experience), place, method.label


def _ranked(board: Board) -> list[SeedGroup]:
    """The fewest steps to the threshold first; those that never reached it by their return."""
    return sorted(board, key=lambda method: (_median_steps(method), -method.mean.middle))


def _median_steps(method: SeedGroup) -> float:
    """Over seeds; infinite where half of them never reached the threshold."""
    return float(np.median(method.reached["env_steps"]))


def _who(method: SeedGroup) -> str:
    return f"{method.label} ({kind_of(method).experience})"


def _devices(method: SeedGroup) -> str:
    return "; ".join(sorted({run.device or "not recorded" for run in method.runs}))


def _section(board: Board, style: dict[str, Style]) -> list[Block]:
    task, text, marks = board[0].task, LAST, MARKS
    if board[0].threshold is not None:
        text = "Steps and seconds to the end of the first trial or round with that return are medians over all seeds, "
        text += f"those without one included. {LAST}"
        marks += " Dotted: the solved threshold."
    file = re.sub(r"[^\w.-]+", "-", task).strip("-")
    picture = Picture.drawn(file, chart(Path(task).name, board, style), marks, wide=True)
    return [page.paragraph(text), picture, page.records([_cells(method) for method in _ranked(board)])]


def _cells(method: SeedGroup) -> dict[str, str]:
    """A row of the table on the page."""
    row = {"": method.label, "kind": kind_of(method).experience, "steps": span(method.steps)}
    if method.threshold is not None:
        row[f"reached {number(method.threshold)}"] = f"{method.reached_count} of {method.seeds}"
        row["after steps"] = reached_at(_median_steps(method))
        row["after seconds"] = reached_at(np.median(method.reached["wall_s"]))
    row |= {"last return": number(method.mean.middle), "std": number(method.std)}
    return row | {"least": number(method.returns.min()), "device": _devices(method)}


def _facts(method: SeedGroup) -> dict[str, Any]:
    return {"task": method.task, "method": method.label, "kind": kind_of(method).experience}


def _ladder(board: Board) -> Iterator[dict[str, Any]]:
    for method in _ranked(board):
        facts = _facts(method) | {"learns": kind_of(method).what, "device": _devices(method)}
        yield facts | method.as_row(common_steps(board))


def _remarks(methods: Sequence[SeedGroup]) -> Iterator[str]:
    """Warnings about the seeds and machines behind the chart."""
    for method in methods:
        yield from (f"On {Path(method.task).name}: {remark}" for remark in unequal_seeds(method))
    beside = dict.fromkeys(method.label for method in methods if method.together)
    if beside:
        yield f"Seeds learned side by side, and wall-clock is of all seeds together: {', '.join(beside)}."
    unknown = dict.fromkeys(method.label for method in methods if kind_of(method) is UNKNOWN)
    if unknown:
        yield f"Agents of unknown kind: {', '.join(unknown)}."
    if len(set(map(_devices, methods))) > 1:
        yield "Wall-clock is of different machines; the tables say which."
