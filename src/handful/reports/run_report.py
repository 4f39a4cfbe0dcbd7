"""The report of a run: `report.html`, its figures and an animation.

A figure is a function of the record of a run that yields pictures and paragraphs, or nothing where the run does not
hold what it shows; its line in `SECTIONS` puts it on the page.
"""

import json
import shlex
from collections.abc import Iterator
from typing import Any

from handful.agents.catalogue import AGENTS
from handful.agents.options.filled import flag, words_of
from handful.reports import page
from handful.reports import run_figures as by_row
from handful.reports import trial_figures as in_trial
from handful.reports.moving_picture import moving_picture
from handful.reports.page import Block
from handful.reports.record import Record, read
from handful.reports.wording import count, duration, grouped, number
from handful.training.run import Row, RunFolder, table_of

COLUMNS = {  # what the columns of the metrics mean, where the name does not say it
    "planned_return": "the mean planned reward of a step, times the steps of the trial",
    "model_nll": "of the model that controlled the trial, before it saw it",
    "model_rmse": "likewise",
    "plan_ms_p50": "the median time of a control step",
    "plan_ms_p99": "its 99th percentile",
}


def write_report(folder: RunFolder) -> None:
    """Write `figures/*.png`, `videos/best-trial.gif` and `report.html`, in this order.

    What the run does not hold is left out, or a sentence says why. Where the environment could be filmed only while it
    ran, that film is shown.

    Raises `InputError` where no trial is finished or the folder cannot be written.
    """
    record = read(folder)
    page.write(
        folder.report_path,
        str(record.config.get("task", "a run")).rsplit("/", 1)[-1],
        subtitle(record),
        verdict(record),
        tiles=headline(record),
        notes=record.notes,
        sections=page.gathered(SECTIONS, record),
    )


def parameter_table(parameters: dict[str, dict[str, float | None]] | None) -> Iterator[Block]:
    """A table of fitted parameters, as `fitted_parameters` of a model gives them; nothing where there are none."""
    if parameters:
        yield page.paragraph(
            "Of the final model, each in its own units: std of the approximate posterior, prior std at the guess."
        )
        yield from (page.table(header, rows) for header, rows in parameter_rows(parameters))


def parameter_rows(
    parameters: dict[str, dict[str, float | None]] | None,
) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Header and rows of fitted parameters; nothing where there are none."""
    columns = {"guess": "guess", "prior std": "prior_std", "fitted": "fitted", "std": "std"}
    if parameters:
        rows = [[name, *(number(row.get(key)) for key in columns.values())] for name, row in parameters.items()]
        yield ["parameter", *columns], rows


def all_metrics(record: Record) -> Iterator[Block]:
    """All columns of the metrics that hold a value."""
    columns, rows = table(record)
    meant = "; ".join(f"{name}: {COLUMNS[name]}" for name in columns if name in COLUMNS)
    text = "metrics.csv holds the same with all digits. "
    if record.by_rounds:
        text += "A row is a round, row 0 the untrained policy; return: the mean of the trials that ended in the round, "
        text += "or that of the trial shown where none ended; fit_s: the time of learning. "
    yield page.paragraph(text + f"{meant}." * bool(meant))
    yield page.table(columns, rows)


def reproduction(record: Record) -> Iterator[Block]:
    """The command, the machine and the configuration."""
    versions = record.summary.get("versions") or {"handful": record.config.get("handful", "not recorded")}
    machine = {"device": record.summary.get("device", "not recorded"), **versions}
    yield page.paragraph("The same run; with the same machine and versions all numbers but times are equal.")
    yield page.code(command(record.config))
    yield page.pairs({name: str(value) for name, value in machine.items()})
    yield page.details("config.json", page.code(json.dumps(record.config, indent=2)))


SECTIONS: dict[str, tuple[page.Maker, ...]] = {
    "Learning": (moving_picture, by_row.learning_curve),
    "Metrics of the agent": (by_row.other_metrics,),
    "Fitted parameters": (lambda record: parameter_table(record.summary.get("parameters")),),
    "Planned and realised returns": (in_trial.planned_returns, by_row.planned_by_trial),
    "Best and last": (in_trial.traces,),
    "Forecasts of the model": (in_trial.forecasts,),
    "Accuracy of the model": (by_row.coverage, by_row.model_scores),
    "Computation time": (by_row.planning_time, by_row.wall_time),
    "All metrics": (all_metrics,),
    "Reproduce this run": (reproduction,),
}


def subtitle(record: Record) -> str:
    """Agent, seed, number of trials or rounds, and device."""
    first = record.words.first if record.by_rounds else "a random trial"
    trials = record.last.trial
    length = f"{count(trials, record.words.unit)} after {first}" if trials else first
    who = f"agent {record.config.get('agent', 'unknown')}, seed {record.config.get('seed', 'unknown')}"
    device = record.summary.get("device")
    return f"{who}, {length}" + (f", on {device}" if device else "")


def verdict(record: Record) -> str:
    """Whether the task was solved, in a sentence."""
    threshold, solved, unit = record.solved_return, record.solved_at, record.words.unit
    if solved is not None:
        text = f"Solved at {unit} {solved.trial}, after {_interaction(record, solved)}: return {number(solved.return_)}"
        return f"{text}, threshold {number(threshold)}."
    tried, best = _interaction(record, record.last), record.best
    best = f"the best return is {number(best.return_)}, at {unit} {best.trial}"
    if threshold is None:
        return f"In {tried}, {best}. No solved threshold is defined for this task."
    return f"Not solved in {tried}: {best}, the threshold is {number(threshold)}."


def headline(record: Record) -> page.Tiles:
    """The numbers at the top."""
    best, last, solved, unit = record.best, record.last, record.solved_at, record.words.unit
    at, remark = f"{unit} {solved.trial}" if solved else "not yet", f"from a return of {number(record.solved_return)}"
    if record.solved_return is None:
        at, remark = "not defined", ""
    seconds = record.summary.get("compile_s")
    compiled = "" if seconds is None else f"the last session compiled for {number(seconds)} s"
    return [
        ("best return", number(best.return_), f"{unit} {best.trial}"),
        ("last return", number(last.return_), f"{unit} {last.trial}"),
        ("solved", at, remark),
        ("interaction", f"{grouped(last.env_steps)} steps", _seconds(record, last)),
        ("wall time", f"{number(last.wall_s)} s", compiled),
    ]


def table(record: Record) -> tuple[list[str], list[list[str]]]:
    """The metrics to four digits, without columns that are empty."""
    names, lines = table_of(record.rows)
    shown = [place for place, column in enumerate(zip(*lines, strict=True)) if set(column) != {None}]
    return [names[place] for place in shown], [[_cell(line[place]) for place in shown] for line in lines]


def command(config: dict[str, Any]) -> str:
    """The command line that starts the same run; options of the agent at their defaults are left out."""
    words, agent = ["handful", "train", str(config.get("task", "TASK"))], config.get("agent", "pets")
    for name in ("agent", "trials", "seeds" if config.get("seeds") else "seed", "refit_every", "float64"):
        value = config.get(name)
        if value is not None and value is not False and (name, value) != ("agent", "pets"):
            words += [flag(name)] if value is True else [flag(name), str(value)]
    kind = AGENTS[agent].options if agent in AGENTS else None
    return shlex.join(words + words_of(kind, config.get("given", {})))


def _cell(value: int | float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else number(value)


def _interaction(record: Record, row: Row) -> str:
    seconds = _seconds(record, row)
    return f"{grouped(row.env_steps)} steps" + (f" ({seconds} of interaction)" if seconds else "")


def _seconds(record: Record, row: Row) -> str:
    return duration(row.env_steps * record.labels.dt) if record.task else ""
