"""The words and numbers of a report: what the run was, how it went, and how to do it again."""

import dataclasses
import json
import math
import shlex
from typing import Any

from handful.evaluation.record import Record
from handful.training.run import COLUMNS, Row

NOT_OPTIONS = {"handful", "task", "out", "resume"}  # of the configuration's entries
LEFT_OUT = {"agent": "pets"}  # what `handful train` does unasked


def title(record: Record) -> str:
    """The task's name, without the folders before it."""
    return str(record.config.get("task", "a run")).rsplit("/", 1)[-1]


def subtitle(record: Record) -> str:
    """Who learned, from what, where."""
    controlled = record.last.trial
    unit, first = record.words.unit, record.words.first
    alone = first if record.by_rounds else "a random trial"
    count = f"{controlled} {unit}{'s' if controlled != 1 else ''} after {first}" if controlled else alone
    who = f"agent {record.config.get('agent', 'unknown')}, seed {record.config.get('seed', 'unknown')}"
    where = record.summary.get("device")
    return f"{who}, {count}" + (f", on {where}" if where else "")


def verdict(record: Record) -> str:
    """How it went, in a sentence."""
    bar, solved = record.solved_return, record.solved_at
    if solved is not None:
        return (
            f"Solved at {record.words.unit} {solved.trial}, after {_interaction(record, solved)}: return "
            f"{number(solved.return_)}, and {number(bar)} is enough."
        )
    reached = f"the best return is {number(record.best.return_)}, at {record.words.unit} {record.best.trial}"
    if bar is None:
        return f"In {_interaction(record, record.last)}, {reached}. What return counts as solved is not laid down."
    return f"Not solved in {_interaction(record, record.last)}: {reached}, and {number(bar)} would be enough."


def headline(record: Record) -> list[tuple[str, str, str]]:
    """Label, value and remark of the numbers at the top."""
    solved = record.solved_at
    none_known, unit = record.solved_return is None, record.words.unit
    return [
        ("best return", number(record.best.return_), f"{unit} {record.best.trial}"),
        ("last return", number(record.last.return_), f"{unit} {record.last.trial}"),
        ("solved", "not laid down" if none_known else f"{unit} {solved.trial}" if solved else "not yet",
         "" if none_known else f"from a return of {number(record.solved_return)}"),
        ("interaction", f"{grouped(record.last.env_steps)} steps", _seconds(record, record.last)),
        ("wall time", f"{number(record.last.wall_s)} s", _compiled(record)),
    ]  # fmt: skip


def machine(record: Record) -> dict[str, str]:
    """Where and with what it ran."""
    versions = record.summary.get("versions") or {"handful": record.config.get("handful", "not recorded")}
    return {"device": str(record.summary.get("device", "not recorded")), **{k: str(v) for k, v in versions.items()}}


def table(record: Record) -> tuple[list[str], list[list[str]]]:
    """All rows of the metrics, to four figures; of rounds without the columns of plans and models."""
    cells = [[_cell(value) for value in dataclasses.astuple(row)] for row in record.rows]
    kept = [place for place in range(len(COLUMNS)) if not record.by_rounds or any(row[place] for row in cells)]
    return [COLUMNS[place] for place in kept], [[row[place] for place in kept] for row in cells]


def command(config: dict[str, Any]) -> str:
    """The command line that begins the same run; what was left to its default is left out."""
    words = ["handful", "train", str(config.get("task", "TASK"))]
    not_options = NOT_OPTIONS | ({"seed"} if config.get("seeds") else set())
    for name, value in config.items():
        if name in not_options or value is None or value is False or LEFT_OUT.get(name) == value:
            continue
        words.append(f"--{name.replace('_', '-')}")
        words += [] if value is True else [str(each) for each in (value if isinstance(value, list) else [value])]
    return shlex.join(words)


def configuration(record: Record) -> str:
    """All settings, as `config.json` has them."""
    return json.dumps(record.config, indent=2)


def number(value: int | float | None) -> str:
    """Four figures, a true minus sign, and words where there is no number."""
    if value is None:
        return "none"
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def grouped(value: int) -> str:
    """A count with its thousands apart."""
    return f"{value:,}".replace(",", "\N{THIN SPACE}")


def duration(seconds: float) -> str:
    """In seconds up to ten minutes, in minutes up to two hours, then in hours.

    >>> duration(40.0), duration(900.0), duration(50176.0)
    ('40 s', '15 min', '13.94 h')
    """
    size, unit = (1, "s") if seconds <= 600 else (60, "min") if seconds <= 7200 else (3600, "h")
    return f"{number(seconds / size)} {unit}"


def _cell(value: int | float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else number(value)


def _interaction(record: Record, row: Row) -> str:
    seconds = _seconds(record, row)
    return f"{grouped(row.env_steps)} steps" + (f" ({seconds} of interaction)" if seconds else "")


def _seconds(record: Record, row: Row) -> str:
    return duration(row.env_steps * record.labels.dt) if record.task else ""


def _compiled(record: Record) -> str:
    seconds = record.summary.get("compile_s")
    return "" if seconds is None else f"the last sitting compiled {number(seconds)} s in all"
