"""Pictures along the time of one trial: what was done, what was planned, what was foreseen."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from handful.evaluation import canvas
from handful.evaluation.canvas import AIM, DASHED, EXPECTED, HAPPENED, STEEL
from handful.evaluation.forecasts import bands, going_on, realised_in
from handful.evaluation.record import Arrays, Labels, Record

OBS_SHOWN = 12  # entries of the observation at most in one picture
ACTIONS_SHOWN = 6


def traces(record: Record, trial: int, beside: list[int]) -> Figure:
    """Observations, actions and reward of a trial, on the scales of all trials `beside` it."""
    names = record.labels.names[:OBS_SHOWN]
    arrays, others = record.trials[trial], [record.trials[each] for each in beside]
    done, done_beside = done_in(record, arrays), [done_in(record, other) for other in others]
    actions, unit = min(done.shape[1], ACTIONS_SHOWN), record.words.unit.capitalize()
    one = "number of the action" if record.categorical else "action"
    titles = [*names, *(f"action {index}" if actions > 1 else one for index in range(actions)), "reward"]
    figure, axes = canvas.sheet(
        f"{unit} {trial}: what happened", titles, record.labels.time, height=0.78, legend_rows=0
    )
    time = record.labels.dt * np.arange(len(arrays["reward"]) + 1)
    for index, ax in enumerate(axes[: len(names)]):
        ax.plot(time, visited(arrays)[:, index], color=HAPPENED, linewidth=1.5, label="what happened")
        ax.set_ylim(canvas.limits(*(visited(other)[:, index] for other in others)))
    for index, ax in enumerate(axes[len(names) : -1]):
        _steps(ax, time, done[:, index])
        if record.categorical:
            ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        task = None if record.categorical else record.task
        bounds = [(float(task.low[index]), float(task.high[index]))] if task else []
        bounds = np.array(bounds)[np.isfinite(bounds)]
        for bound in bounds:
            ax.axhline(bound, color=AIM, linestyle=DASHED, linewidth=1.2, label="limit")
        ax.set_ylim(canvas.limits(bounds, *(other[:, index] for other in done_beside)))
    _steps(axes[-1], time, arrays["reward"])
    axes[-1].set_ylim(canvas.limits(*(other["reward"] for other in others)))
    for ax in axes:
        ax.set_xlim(0, record.labels.dt * max(len(other["reward"]) for other in others))
    return figure


def planned(record: Record, trial: int, beside: list[int]) -> Figure:
    """What the controller expected over its horizon at each step, and what came over the same steps."""
    arrays, others = record.trials[trial], [record.trials[each] for each in beside]
    horizon = arrays["plan"].shape[1]
    figure, (ax,) = canvas.sheet(
        f"Trial {trial}: return of the next {horizon} steps", [""], record.labels.time, height=2.6
    )
    time = record.labels.dt * np.arange(len(arrays["reward"]))
    mean, std = arrays["planned_return"], arrays["planned_std"]
    ax.fill_between(
        time, mean - std, mean + std, color=EXPECTED, alpha=0.25, linewidth=0, label="its std over particles"
    )
    ax.plot(time, mean, color=EXPECTED, linewidth=1.6, label="planned")
    ax.plot(time, realised_in(arrays, record.discount), color=HAPPENED, linewidth=1.8, label="realised")
    ax.set_xlim(0, record.labels.dt * max(len(other["reward"]) for other in others))
    came = [realised_in(other, record.discount) for other in others]
    ax.set_ylim(canvas.limits(*came, *(other["planned_return"] for other in others)))
    canvas.legend(figure, ax)
    return figure


def fan(record: Record, trial: int, beside: list[int]) -> Figure:
    """Forecasts of a trial in bands, and what happened: the time is that of all trials `beside`, the scales its own."""
    steps = max(len(record.trials[each]["obs"]) for each in beside)
    return forecast(record.trials[trial], record.labels, trial, steps=steps)


def forecast(arrays: Arrays, labels: Labels, trial: int, *, steps: int) -> Figure:
    """`fan` of a trial's arrays alone, over that many steps. Angles go on past a half turn."""
    names = labels.names[:OBS_SHOWN]
    figure, axes = canvas.sheet(f"Trial {trial}: forecasts and what happened", names, labels.time, height=1.05)
    truth = going_on(visited(arrays), labels.angles)
    turns = (truth[:-1] - arrays["obs"])[arrays["fan_starts"]]
    quantiles = bands(going_on(arrays["fan_obs"], labels.angles)) + turns[:, None]
    ahead = np.arange(quantiles.shape[2])
    for index, ax in enumerate(axes):
        for which, start in enumerate(arrays["fan_starts"]):
            time = labels.dt * (start + ahead)
            low, lower, middle, upper, high = quantiles[:, which, :, index]
            texts = ("90% band", "50% band", "median") if which == 0 else (None, None, None)
            ax.fill_between(time, low, high, color=EXPECTED, alpha=0.22, linewidth=0, label=texts[0])
            ax.fill_between(time, lower, upper, color=EXPECTED, alpha=0.4, linewidth=0, label=texts[1])
            ax.plot(time, middle, color=EXPECTED, linewidth=1.3, label=texts[2])
            ax.axvline(time[0], color=STEEL, linewidth=0.7, linestyle=(0, (1, 2)))
        every = labels.dt * np.arange(len(truth))
        ax.plot(every, truth[:, index], color=HAPPENED, linewidth=1.5, label="what happened")
        ax.set_ylim(canvas.limits(truth[:, index], margin=0.4))
        ax.set_xlim(0, labels.dt * steps)
    canvas.legend(figure, axes[0], columns=4)
    return figure


def done_in(record: Record, arrays: Arrays) -> np.ndarray:
    """What was done at each step, entry by entry; of categories, which."""
    return arrays["action"].argmax(1)[:, None].astype(float) if record.categorical else arrays["action"]


def visited(arrays: Arrays) -> np.ndarray:
    """All observations of a trial, the last one too."""
    return np.concatenate([arrays["obs"], arrays["next_obs"][-1:]])


def _steps(ax: Axes, time: np.ndarray, values: np.ndarray) -> None:
    """A line that holds each value for its control step."""
    ax.plot(time, np.append(values, values[-1]), color=HAPPENED, linewidth=1.3, drawstyle="steps-post")
