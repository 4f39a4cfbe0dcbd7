"""Figures over the time of single trials, each with its caption."""

from collections.abc import Callable, Iterator

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from handful.reports import canvas
from handful.reports.canvas import PREDICTED, STEEL
from handful.reports.page import Block, Picture, paragraph
from handful.reports.record import Arrays, Labels, Record
from handful.scores.forecasts import bands, going_on, realised_in

OBS_SHOWN, ACTIONS_SHOWN = 12, 6  # entries at most in one figure


def traces(record: Record) -> Iterator[Block]:
    """Observations, actions and reward of the best and of the last trial."""
    if not record.trials:
        yield paragraph("The records of the trials cannot be read.")
        return
    trials, unit = [record.best_of(record.trials), max(record.trials)], record.words.unit
    text = "Observations, actions and reward at every control step; figures side by side have the same scales."
    if record.by_rounds and record.hosted is not None:
        text = f"Each round shows {trial_of_round(record)}. {text}"
    actions = actions_of(record, record.trials[trials[0]]).shape[1]
    cut = f" Of {actions} actions the first {ACTIONS_SHOWN} are shown." if actions > ACTIONS_SHOWN else ""
    yield paragraph(text + _cut(record) + cut)
    best = f"The best {unit}" + ("." if trials[0] != trials[1] else " is also the last.")
    if record.task and not record.categorical:
        best += " Green lines are the limits of the action."
    captions = {"traces-best": best, "traces-last": f"The last {unit}, in the same way."}
    yield from _each(record, trials, _trace, captions)


def planned_returns(record: Record) -> Iterator[Block]:
    """Planned and realised return of the first, the best and the last trial with a planner."""
    if not record.planned:
        if record.last.trial == 0 and not record.by_rounds:
            yield paragraph("No trial was controlled by a planner yet, so there are no plans to judge.")
        return
    horizon = next(iter(record.planned.values()))["plan"].shape[1]
    yield paragraph(
        f"At each step the controller plans {horizon} steps ahead, takes the first action, and plans again, so the "
        "realised return can also exceed the planned one. The realised line ends where less than a full window of the "
        "trial is left."
    )
    captions = {
        "planned-first": "The first controlled trial. Orange: the return that the controller predicted for its next "
        f"{horizon} steps, and its std over particles. Blue: the return of those {horizon} steps.",
        "planned-best": "The best trial: the closer orange is to blue, the better the controller's predictions.",
        "planned-last": "The last trial.",
    }
    trials = [min(record.planned), record.best_of(record.planned), max(record.planned)]
    yield from _each(record, trials, _planned, captions)


def forecasts(record: Record) -> Iterator[Block]:
    """Forecasts of the model along the first and the last trial that have them."""
    if not record.forecast:
        if not record.by_rounds:
            yield paragraph("No trial holds forecasts of a model yet.")
        return
    yield paragraph(
        "From the state at each dotted line the model, with what it had learned before the trial, predicts the effect "
        "of the trial's own actions. Blue should stay inside the bands, and the bands should be narrow. Scales are "
        "those of the measurements; bands beyond them are cut off." + _cut(record)
    )
    captions = {
        "forecast-first": "The first controlled trial: the model has seen random data alone.",
        "forecast-last": "The last trial: the model has seen all trials before it.",
    }
    yield from _each(record, [min(record.forecast), max(record.forecast)], _forecast, captions)


def forecast(arrays: Arrays, labels: Labels, trial: int, *, steps: int) -> Figure:
    """Forecasts of a trial in bands, and the measurements, over `steps` steps. Angles go on past a half turn."""
    names = labels.names[:OBS_SHOWN]
    figure, axes = canvas.sheet(f"Trial {trial}: forecasts and measurements", names, labels.time, height=1.05)
    truth = going_on(visited(arrays), labels.angles)
    turns = (truth[:-1] - arrays["obs"])[arrays["fan_starts"]]
    quantiles = bands(going_on(arrays["fan_obs"], labels.angles)) + turns[:, None]
    ahead = np.arange(quantiles.shape[2])
    for index, ax in enumerate(axes):
        labelled = {"outer": "90% band", "inner": "50% band", "median": "median"}  # once in the legend
        for start, (low, lower, middle, upper, high) in zip(
            arrays["fan_starts"], quantiles[..., index].swapaxes(0, 1), strict=True
        ):
            time, band = labels.dt * (start + ahead), {"color": PREDICTED, "linewidth": 0}
            ax.fill_between(time, low, high, **band, alpha=0.22, label=labelled.pop("outer", None))
            ax.fill_between(time, lower, upper, **band, alpha=0.4, label=labelled.pop("inner", None))
            ax.plot(time, middle, color=PREDICTED, linewidth=1.3, label=labelled.pop("median", None))
            ax.axvline(time[0], color=STEEL, linewidth=0.7, linestyle=(0, (1, 2)))
        ax.plot(labels.dt * np.arange(len(truth)), truth[:, index], linewidth=1.5, label="measured")
        ax.set_ylim(canvas.limits(truth[:, index], margin=0.4))
    axes[0].set_xlim(0, labels.dt * steps)
    return figure


def trial_of_round(record: Record, trial: int | None = None) -> str:
    """Which trial is shown for a round."""
    if trial == 0:
        return "a trial of the untrained policy"
    if record.hosted:
        return "its first trial, with exploration noise"
    return "a trial of the policy learned by its end, without exploration noise"


def actions_of(record: Record, arrays: Arrays) -> np.ndarray:
    """The action at each step, entry by entry; the index of a categorical one."""
    return arrays["action"].argmax(1)[:, None].astype(float) if record.categorical else arrays["action"]


def visited(arrays: Arrays) -> np.ndarray:
    """All observations of a trial, the last one too."""
    return np.concatenate([arrays["obs"], arrays["next_obs"][-1:]])


def _trace(record: Record, trial: int, beside: list[int]) -> Figure:
    """Observations, actions and reward of a trial, on the scales of all trials `beside` it."""
    names, shown = record.labels.names[:OBS_SHOWN], {each: _columns(record, record.trials[each]) for each in beside}
    count = shown[trial].shape[1] - len(names) - 1
    one = "index of the action" if record.categorical else "action"
    titles = [*names, *(f"action {index}" if count > 1 else one for index in range(count)), "reward"]
    title = f"{record.words.unit.capitalize()} {trial}: measurements"
    figure, axes = canvas.sheet(title, titles, record.labels.time, height=0.78, legend_rows=0)
    time = record.labels.dt * np.arange(len(shown[trial]))
    for index, ax in enumerate(axes):
        action, bounds = index - len(names), np.empty(0)
        if 0 <= action < count and record.categorical:
            ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        elif 0 <= action < count and record.task:
            bounds = np.array([record.task.low[action], record.task.high[action]], float)
        for bound in bounds[np.isfinite(bounds)]:
            canvas.target(ax, bound, linewidth=1.2)
        ax.plot(time, shown[trial][:, index], linewidth=1.4, drawstyle="default" if action < 0 else "steps-post")
        ax.set_ylim(canvas.limits(bounds, *(columns[:, index] for columns in shown.values())))
    axes[0].set_xlim(0, _longest(record, beside))
    return figure


def _columns(record: Record, arrays: Arrays) -> np.ndarray:
    """What `_trace` shows, with the last observation; the last action and reward twice, held for their control step."""
    held = np.column_stack([actions_of(record, arrays)[:, :ACTIONS_SHOWN], arrays["reward"]])
    return np.column_stack([visited(arrays)[:, :OBS_SHOWN], np.append(held, held[-1:], axis=0)])


def _planned(record: Record, trial: int, beside: list[int]) -> Figure:
    """The planned return over the horizon at each step, and the realised return of the same steps."""
    arrays, others = record.trials[trial], [record.trials[each] for each in beside]
    title = f"Trial {trial}: return of the next {arrays['plan'].shape[1]} steps"
    figure, (ax,) = canvas.sheet(title, [""], record.labels.time, height=2.6)
    time = record.labels.dt * np.arange(len(arrays["reward"]))
    mean, std = arrays["planned_return"], arrays["planned_std"]
    ax.fill_between(time, mean - std, mean + std, color=PREDICTED, alpha=0.25, linewidth=0, label="std over particles")
    ax.plot(time, mean, color=PREDICTED, linewidth=1.6, label="planned")
    ax.plot(time, realised_in(arrays, record.discount), linewidth=1.8, label="realised")
    ax.set_xlim(0, _longest(record, beside))
    realised = [realised_in(other, record.discount) for other in others]
    ax.set_ylim(canvas.limits(*realised, *(other["planned_return"] for other in others)))
    return figure


def _forecast(record: Record, trial: int, beside: list[int]) -> Figure:
    steps = max(len(record.trials[each]["obs"]) for each in beside)
    return forecast(record.trials[trial], record.labels, trial, steps=steps)


def _each(
    record: Record, trials: list[int], draw: Callable[[Record, int, list[int]], Figure], captions: dict[str, str]
) -> Iterator[Block]:
    """A figure of each trial; `captions` are by file name in the same order. A trial that repeats is drawn once."""
    named = dict(zip(reversed(trials), reversed(captions.items()), strict=True))  # the first name of a trial wins
    shown = list(dict.fromkeys(trials))
    for trial in shown:
        yield Picture.drawn(named[trial][0], draw(record, trial, shown), named[trial][1], columns=4)


def _longest(record: Record, trials: list[int]) -> float:
    """The time of the longest of the trials."""
    return record.labels.dt * max(len(record.trials[each]["reward"]) for each in trials)


def _cut(record: Record) -> str:
    size = len(record.labels.names)
    return f" Of {size} entries the first {OBS_SHOWN} are shown." if size > OBS_SHOWN else ""
