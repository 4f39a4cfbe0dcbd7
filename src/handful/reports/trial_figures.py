"""Figures over the time of single trials, each with its caption."""

from collections.abc import Callable, Iterator, Sized

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from handful.reports import canvas
from handful.reports.canvas import PREDICTED, STEEL
from handful.reports.page import Block, Picture, paragraph
from handful.reports.record import Arrays, Labels, Record
from handful.scores.forecasts import bands, realised
from handful.scores.metrics import WIDE, least_samples
from handful.scores.windows import unwound

OBS_SHOWN, ACTIONS_SHOWN = 12, 6  # entries at most in one figure
READING = (
    "From each dotted line the model predicts the effect of the trial's own actions. Blue should stay inside the "
    "bands, and the bands should be narrow."
)


def traces(record: Record) -> Iterator[Block]:
    """Observations, actions and reward of the best and of the last trial."""
    if not record.trials:
        yield paragraph("The records of the trials cannot be read.")
        return
    trials, unit = [record.best_of(record.trials), max(record.trials)], record.words.unit
    text = f"Each round shows {trial_of_round(record)}. " if record.by_rounds and record.hosted is not None else ""
    text += "Observations, actions and reward at every control step; figures side by side have the same scales."
    text += _cut(record.labels.names, OBS_SHOWN, "entries")
    yield paragraph(text + _cut(actions_of(record, record.trials[trials[0]]).T, ACTIONS_SHOWN, "actions"))
    best = f"The best {unit}" + ("." if trials[0] != trials[1] else " is also the last.")
    if record.system and not record.categorical:
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
        "realised return can exceed the planned one. Its line ends where less than a full window of the trial is left."
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
        f"{READING} It knew only the trials before. Scales are of the measurements; bands beyond them are cut off."
        + _cut(record.labels.names, OBS_SHOWN, "entries")
    )
    captions = {
        "forecast-first": "The first controlled trial: the model has seen random data alone.",
        "forecast-last": "The last trial: the model has seen all trials before it.",
    }
    draw = lambda record, trial: forecast(record.trials[trial], record.labels, trial)
    yield from _each(record, [min(record.forecast), max(record.forecast)], draw, captions)


def forecast(arrays: Arrays, labels: Labels, trial: int) -> Figure:
    """Forecasts of a trial in bands, and the measurements. Angles go on past a half turn."""
    names = labels.names[:OBS_SHOWN]
    figure, axes = canvas.sheet(f"Trial {trial}: forecasts and measurements", names, labels.time, height=1.05)
    truth = unwound(visited(arrays), labels.angles)
    turns = (truth[:-1] - arrays["obs"])[arrays["fan_starts"]]
    quantiles = bands(unwound(arrays["fan_obs"], labels.angles)) + turns[:, None]
    ahead = np.arange(quantiles.shape[2])
    for index, ax in enumerate(axes):
        particles = arrays["fan_obs"].shape[1]
        outer = "90% band" if particles >= least_samples(WIDE) else f"{particles} particles"
        labelled = {"outer": outer, "inner": "50% band", "median": "median"}  # once in the legend
        for start, band_of in zip(arrays["fan_starts"], quantiles[..., index].swapaxes(0, 1), strict=True):
            low, lower, middle, upper, high = band_of
            at, band = labels.dt * (start + ahead), {"color": PREDICTED, "linewidth": 0}
            ax.fill_between(at, low, high, **band, alpha=0.22, label=labelled.pop("outer", None))
            ax.fill_between(at, lower, upper, **band, alpha=0.4, label=labelled.pop("inner", None))
            ax.plot(at, middle, color=PREDICTED, linewidth=1.3, label=labelled.pop("median", None))
            ax.axvline(at[0], color=STEEL, linewidth=0.7, linestyle=(0, (1, 2)))
        ax.plot(labels.dt * np.arange(len(truth)), truth[:, index], linewidth=1.5, label="measured")
        ax.set_ylim(canvas.limits(truth[:, index], margin=0.4))
    axes[0].set_xlim(0, labels.dt * len(arrays["obs"]))
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


def _trace(record: Record, trial: int) -> Figure:
    """Observations, actions and reward of a trial; the last action and reward are held for their control step."""
    arrays, names = record.trials[trial], record.labels.names[:OBS_SHOWN]
    actions = actions_of(record, arrays)[:, :ACTIONS_SHOWN].T
    titles = [f"action {index}" for index in range(len(actions))]
    if len(actions) == 1:
        titles = ["index of the action" if record.categorical else "action"]
    title = f"{record.words.unit.capitalize()} {trial}: measurements"
    figure, axes = canvas.sheet(title, [*names, *titles, "reward"], record.labels.time, height=0.78)
    time = record.labels.dt * np.arange(len(arrays["reward"]) + 1)
    for ax, values in zip(axes, visited(arrays).T[:OBS_SHOWN], strict=False):
        ax.plot(time, values, linewidth=1.4)
    for ax, values in zip(axes[len(names) :], [*actions, arrays["reward"]], strict=True):
        ax.plot(time, np.append(values, values[-1:]), linewidth=1.4, drawstyle="steps-post")
    for index, ax in enumerate(axes[len(names) : -1]):
        if record.categorical:
            ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        elif record.system:
            for bound in filter(np.isfinite, (record.system.low[index], record.system.high[index])):
                canvas.target(ax, float(bound), linewidth=1.2)
    axes[0].set_xlim(0, time[-1])
    return figure


def _planned(record: Record, trial: int) -> Figure:
    """The planned return over the horizon at each step, and the realised return of the same steps."""
    arrays = record.trials[trial]
    title = f"Trial {trial}: return of the next {arrays['plan'].shape[1]} steps"
    figure, (ax,) = canvas.sheet(title, [""], record.labels.time, height=2.6)
    time = record.labels.dt * np.arange(len(arrays["reward"]))
    mean, std, after = arrays["planned_return"], arrays["planned_std"], realised(arrays, record.discount)
    ax.fill_between(time, mean - std, mean + std, color=PREDICTED, alpha=0.25, linewidth=0, label="std over particles")
    ax.plot(time, mean, color=PREDICTED, linewidth=1.6, label="planned")
    ax.plot(time, after, linewidth=1.8, label="realised")
    ax.set(xlim=(0, record.labels.dt * len(time)), ylim=canvas.limits(mean, after))
    return figure


def _each(
    record: Record, trials: list[int], draw: Callable[[Record, int], Figure], captions: dict[str, str]
) -> Iterator[Block]:
    """A figure of each trial, all on the same scales; `captions` are by file name in the same order.

    A trial that repeats is drawn once.
    """
    named = dict(zip(reversed(trials), reversed(captions.items()), strict=True))  # the first name of a trial wins
    figures = {trial: draw(record, trial) for trial in dict.fromkeys(trials)}
    for ax in (ax for figure in figures.values() for ax in figure.axes):
        canvas.fit_vertical(ax)
    for panels in zip(*(figure.axes for figure in figures.values()), strict=True):
        x, y = (np.array(ends) for ends in zip(*((ax.get_xlim(), ax.get_ylim()) for ax in panels), strict=True))
        for ax in panels:
            ax.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    for trial, figure in figures.items():
        yield Picture.drawn(named[trial][0], figure, named[trial][1], columns=4)


def _cut(entries: Sized, most: int, noun: str) -> str:
    return f" Of {len(entries)} {noun} the first {most} are shown." if len(entries) > most else ""
