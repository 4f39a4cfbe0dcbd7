"""All methods on all tasks on one page: a chart and a table for each task, and the raw curves."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

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
    "A point is one row of a run's metrics: for an agent that learns trial by trial the return of a single trial, for "
    "one that learns round by round the mean over the trials that ended in the round, exploration included. Nothing is "
    "smoothed: curves of trials are rougher than curves of rounds, and a single trial may start in a lucky state. A "
    "point of a mean is of all seeds after as many trials or rounds: their mean steps, seconds and return. The return "
    "of an untrained policy before the first round has no place on a logarithmic axis."
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
    points = [
        row
        for method in methods
        for row in curve_rows(method, task=method.task, method=method.label, kind=kind_of(method).experience)
    ]
    sections = [(Path(board[0].task).name, _section(board, style)) for board in tasks]
    write_csv(out / "curves.csv", points)
    write_csv(out / "ladder.csv", [row for board in tasks for row in _facts(board)])
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
        raise InputError(
            f"--threshold is a return of one task, got runs of {', '.join(tasks)}; leave it out, or name runs of one"
        )
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
    task, threshold, text, marks = board[0].task, board[0].threshold, LAST, MARKS
    cells: page.Cells = {
        "": lambda method: method.label,
        "kind": lambda method: kind_of(method).experience,
        "steps": lambda method: span(method.steps),
    }
    if threshold is not None:
        cells |= {
            f"reached {number(threshold)}": lambda method: f"{method.reached_count} of {method.seeds}",
            "after steps": lambda method: reached_at(_median_steps(method)),
            "after seconds": lambda method: reached_at(np.median(method.reached["wall_s"])),
        }
        text = (
            f"Steps and seconds to the end of the first trial or round with a return of {number(threshold)} or more: "
            f"medians over seeds, seeds without one included. {LAST}"
        )
        marks += " Dotted: the solved threshold."
    cells |= {
        "last return": lambda method: number(method.mean.middle),
        "std": lambda method: number(method.std),
        "least": lambda method: number(method.returns.min()),
        "device": _devices,
    }
    file = re.sub(r"[^\w.-]+", "-", task).strip("-")
    picture = Picture.drawn(file, chart(Path(task).name, board, style), marks, wide=True)
    return [page.paragraph(text), picture, page.columns(_ranked(board), cells)]


def _facts(board: Board) -> Iterator[dict]:
    common = common_steps(board)
    for method in _ranked(board):
        kind, scores = kind_of(method), method.as_row(common)
        facts = {"task": method.task, "method": scores.pop("group"), "kind": kind.experience, "learns": kind.what}
        yield facts | {"device": _devices(method)} | scores


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
