"""The report of a run: `report.html`, its figures and an animation.

A figure is a function of the record of a run that yields pictures and paragraphs, or nothing where the run does not
hold what it shows; its line in `SECTIONS` puts it on the page.
"""

import json
import math
import shlex
from collections.abc import Iterator
from typing import Any

import numpy as np

from handful.agents.catalogue import AGENTS
from handful.agents.options.filled import flag, words_of
from handful.errors import InputError
from handful.reports import page
from handful.reports import run_figures as by_row
from handful.reports import trial_figures as in_trial
from handful.reports.moving_picture import moving_picture
from handful.reports.page import Block
from handful.reports.record import Record, read
from handful.reports.wording import count, duration, grouped, number
from handful.scores.forecasts import measured
from handful.scores.model_score import STEPS
from handful.scores.windows import unwound
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

    Raises `InputError` where no trial is finished, the folder cannot be written, or the report that is there would
    become poorer.
    """
    record = read(folder)
    if record.system is None and "system" not in record.config and folder.report_path.exists():
        raise InputError(
            f"the report of {folder.path} is kept as it is: a new one would be poorer, since its config.json has no "
            "names, step and limits of the task; remove report.html to have it written in spite of that"
        )
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


def control(record: Record) -> Iterator[Block]:
    """How fast the controller must be and was, and how much its actions change from step to step."""
    if not record.trials:
        return
    yield page.paragraph(pace(record))
    trials = [record.best_of(record.trials), max(record.trials)]
    kinds = dict(zip(reversed(trials), ("last", "best"), strict=True))
    facts = {}
    for trial, kind in sorted(kinds.items(), key=lambda item: item[1]):
        changes = chatter(record.trials[trial]["action"], categorical=record.categorical)
        name = f"{kind} {record.words.unit} ({trial}): "
        if record.categorical:
            facts[f"{name}share of steps that change the action"] = f"{100 * changes[0]:.0f} %"
            continue
        for entry, mean in enumerate(changes):
            which = f"action {entry}" if len(changes) > 1 else "action"
            width = record.system.high[entry] - record.system.low[entry] if record.system else math.inf
            of_range = f", {100 * mean / width:.2g} % of its range" if 0 < width < math.inf else ""
            facts[f"{name}mean change of {which} a step, mean |\N{GREEK CAPITAL LETTER DELTA}u|"] = (
                number(mean) + of_range
            )
    yield page.pairs(facts)


def chatter(action: np.ndarray, *, categorical: bool) -> np.ndarray:
    """Mean magnitude of the change of each action from step to step; of categories, how often it changes.

    >>> chatter(np.array([[1.0, 0.5], [3.0, 0.5], [2.0, -0.5]]), categorical=False).tolist()
    [1.5, 0.5]
    """
    steps = np.diff(action, axis=0)
    changes = np.abs(steps).max(1, keepdims=True) > 0 if categorical else np.abs(steps)
    return changes.mean(0) if len(changes) else np.zeros(1 if categorical else action.shape[1])


def pace(record: Record) -> str:
    """The time of a control step against its length, in a sentence."""
    step = f"A control step lasts {number(record.labels.dt)} s. " if record.system else ""
    median, slowest = (record.metrics.get(name, np.zeros((2, 0)))[1][-1:] for name in ("plan_ms_p50", "plan_ms_p99"))
    if not (len(median) and len(slowest)):
        return step + "The time to compute an action is not recorded."
    text = f"{step}In the last {record.words.unit} an action took {number(median[0])} ms in the median"
    text += f" and {number(slowest[0])} ms or more in 1% of the steps, on this machine"
    if not record.system:
        return f"{text}."
    share = slowest[0] / (1e3 * record.labels.dt)
    keeps = "keeps up with" if share <= 1 else "is too slow for"
    return f"{text}: {number(100 * share)} % of the step's length, so the controller {keeps} the real system."


def model_errors(record: Record) -> Iterator[Block]:
    """Errors of the forecasts along the last trial that has them, each entry in its own unit."""
    if not record.forecast:
        return
    trial = max(record.forecast)
    arrays, angles = record.forecast[trial], record.labels.angles
    truth, particles = unwound(measured(arrays), angles), unwound(arrays["fan_obs"], angles)
    last = truth.shape[1] - 1
    steps = sorted({min(step, last) for step in (*STEPS, last)})
    rows = []
    for entry, name in enumerate(record.labels.names):
        for what, guess in (("model", particles.mean(1)), ("no change", truth[:, :1])):
            rmse = np.sqrt(np.mean((guess - truth)[..., entry] ** 2, axis=0))
            rows.append([f"{name}, {what}", *(number(float(rmse[step])) for step in steps)])
    yield page.paragraph(
        f"Root mean squared errors of the mean forecast along {record.words.unit} {trial}, which the model had not "
        "seen, so many steps ahead in each entry's own unit, and those of no change since the start of the forecast."
    )
    yield page.table(["RMSE", *(count(step, "step") for step in steps)], rows)


def settings(record: Record) -> Iterator[Block]:
    """All settings that were used, those left to the program too."""
    given, options = record.config.get("given") or {}, record.config.get("options") or {}
    used = {name: value for name, value in (options | given).items() if value is not None}
    outer = {name: record.config.get(name) for name in ("task", "agent", "seed", "trials", "updates", "refit_every")}
    system = {} if record.system is None else {"dt [s]": record.system.dt, "steps of a trial": record.system.horizon}
    every = {name: value for name, value in (outer | system | used).items() if value is not None}
    yield page.paragraph(
        "Bold settings were given; the others are those of the task and the agent."
        if given
        else "No option was given; all settings are those of the task and the agent."
    )
    yield page.pairs(
        {name.replace("_", " "): _setting(value) for name, value in every.items()},
        bold={name.replace("_", " ") for name in given},
    )


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_setting, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


SECTIONS: dict[str, tuple[page.Maker, ...]] = {
    "Learning": (moving_picture, by_row.learning_curve),
    "Metrics of the agent": (by_row.other_metrics,),
    "Fitted parameters": (lambda record: parameter_table(record.summary.get("parameters")),),
    "Control": (control,),
    "Planned and realised returns": (in_trial.planned_returns, by_row.planned_by_trial),
    "Best and last": (in_trial.traces,),
    "Forecasts of the model": (in_trial.forecasts,),
    "Accuracy of the model": (by_row.coverage, by_row.model_scores),
    "Computation time": (by_row.planning_time, by_row.wall_time),
    "All metrics": (all_metrics,),
    "Errors of the model in units": (model_errors,),
    "Settings": (settings,),
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
    seconds = record.summary.get("compile_s")
    compiled = "" if seconds is None else f"the last session compiled for {number(seconds)} s"
    return [
        ("best return", number(best.return_), f"{unit} {best.trial}"),
        ("last return", number(last.return_), f"{unit} {last.trial}"),
        *([] if record.solved_return is None else [("solved", at, remark)]),
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
    return duration(row.env_steps * record.labels.dt) if record.system else ""
