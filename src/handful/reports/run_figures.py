"""Figures with one point for each trial or round of a run, each with its caption."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, MaxNLocator

from handful.reports import canvas
from handful.reports.canvas import DOTS, INK, MEASURED, PAPER, PREDICTED, STEEL
from handful.reports.page import Block, Picture, paragraph
from handful.reports.record import Record
from handful.reports.wording import count, grouped, number
from handful.scores.forecasts import coverage as coverage_of
from handful.scores.forecasts import realised
from handful.scores.metrics import WIDE

BASELINES = {"zero action": (STEEL, (0, (1, 1.2))), "random": ("#8c6bb1", (0, (4, 2)))}
SHADES = LinearSegmentedColormap.from_list("trials", ["#fad69e", "#599ec2", "#214575"])  # from the first to the last
DRAWN = ("planned_return", "model_nll", "model_rmse", "plan_ms_p50", "plan_ms_p99")  # metrics with figures of their own

# Titles and meanings of further metrics, in the order of their panels. Any other metric is drawn under its name.
KNOWN = {
    "kl": ("KL divergence of an update [nats]", "how far an update moved the policy"),
    "beta": ("weight of the KL penalty", "it rises where updates are too large"),
    "accepted": ("steps accepted", "the share of line searches that found a better policy"),
    "entropy": ("entropy of the policy [nats]", "how much it explores"),
    "epsilon": ("share of random actions", "how much it explores"),
    "learning_rate": ("learning rate", "the step size of an update"),
    "trained": ("share of updates that trained", "below 1 while the replay fills"),
    "replay": ("steps in the replay", "the data learned from"),
    "pairs": ("pairs of cell and action visited", "the data of a tabular model"),
    "loss": ("loss", "the distance of values from their targets"),
    "td_error": ("temporal-difference error", "the distance of values from their targets"),
    "value": ("value", "the return that the learned values predict; far above all returns, they have diverged"),
    "explained_variance": ("variance explained by the value", "1 is perfect, 0 no better than a constant"),
}


def learning_curve(record: Record) -> Iterator[Block]:
    """The return of each row, with the planned return and baselines that do not learn."""
    figure, (ax,) = _sheet(record, f"Return of each {record.words.unit}", height=2.42)
    if not record.by_rounds:
        ax.set_xlabel("trial (0 acts at random)")
    for name, values in record.baselines.items():
        colour, dashes = BASELINES.get(name, (STEEL, "--"))
        ax.axhspan(np.nanmin(values), np.nanmax(values), color=colour, alpha=0.16, linewidth=0)
        canvas.target(ax, float(np.nanmean(values)), name, color=colour, linestyle=dashes)
    if record.solved_return is not None:
        canvas.target(ax, record.solved_return, "solved")
    if np.isfinite(planned := record.column("planned_return")).any():
        ax.plot(record.places, planned, "--", **DOTS, color=PREDICTED, markerfacecolor=PAPER, label="planned")
    ax.plot(record.places, record.column("return"), **DOTS, label="achieved")
    caption = "Blue is the return of each trial; more is better."
    if record.by_rounds:
        caption = "The mean return of the trials that ended in each round, exploration noise included; more is better. "
        caption += "Round 0 is one trial of the untrained policy."
    if record.planned:
        caption += " Orange is the return that the controller predicted; far above blue, its model was wrong."
    if record.baselines:
        episodes = count(max(map(len, record.baselines.values())), "episode")
        caption += f" The flat lines are the same task without learning, with the range over {episodes}."
    yield Picture.drawn("learning-curve", figure, caption)


def other_metrics(record: Record) -> Iterator[Block]:
    """A panel for each metric that has no figure of its own, whichever the agent reports."""
    known = {name: KNOWN[name] for name in KNOWN if name in record.metrics}
    titles = {name: title for name, (title, _) in known.items()}
    titles |= {name: name for name in record.metrics if name not in (*KNOWN, *DRAWN)}
    constant = {name: values[1][0] for name in titles if np.ptp((values := record.metrics[name])[1]) == 0}
    always = "; ".join(f"{titles.pop(name)}: {number(value)}" for name, value in constant.items())
    if always:
        yield paragraph(f"The same in every {record.words.unit}: {always}.")
    if not titles:
        return
    known = {name: known[name] for name in known if name in titles}
    figure, axes = _sheet(record, "Metrics of the agent", [*titles.values()], height=0.78)
    for ax, name in zip(axes, titles, strict=True):
        ax.plot(*record.metrics[name], **DOTS | {"markersize": 3, "linewidth": 1.5})
    meanings = "; ".join(f"{title.split(' [')[0]}: {meaning}" for title, meaning in known.values())
    yield paragraph(
        f"What the agent reports of its own learning; each point is the mean over the updates of a {record.words.unit}."
    )
    yield Picture.drawn("metrics", figure, f"{meanings[:1].upper()}{meanings[1:]}." if meanings else "")


def planned_by_trial(record: Record) -> Iterator[Block]:
    """Planned against realised return at every control step, coloured by trial."""
    if not record.planned:
        return
    title, panel = "Planned and realised, every control step", "realised return over the same steps"
    figure, (ax,) = canvas.sheet(title, [panel], "planned return over the horizon", height=2.6)
    values = []
    for (trial, arrays), share in zip(record.planned.items(), np.linspace(0, 1, len(record.planned)), strict=True):
        pairs = np.stack([arrays["planned_return"], realised(arrays, record.discount)])
        pairs = pairs[:, np.isfinite(pairs).all(0)]
        if not pairs.size:
            continue
        values.append(pairs)
        colour, middle = to_rgb(SHADES(share)), pairs.mean(1).tolist()
        ink = PAPER if sum(colour) < 1.7 else INK
        ax.scatter(*pairs, s=7, color=colour, alpha=0.55, linewidths=0)
        ax.scatter(*middle, s=130, color=[colour], edgecolors=INK, linewidths=0.9, zorder=4)
        ax.annotate(str(trial), middle, ha="center", va="center", size=7.5, color=ink, zorder=5)
    ends = canvas.limits(*values)
    ax.plot(ends, ends, color=STEEL, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
    ax.set(xlim=ends, ylim=ends)
    caption = (
        "Dots are control steps, circles means of trials. On the dashed line plans were right, below too optimistic."
    )
    yield Picture.drawn("planned-by-trial", figure, caption)


def coverage(record: Record) -> Iterator[Block]:
    """How often measurements lay inside the forecast's 90 % band."""
    if not record.forecast:
        return
    figure, (ax,) = _sheet(record, "Coverage of the 90% band", height=2.3)
    places = [record.place(row) for row in record.rows if row.trial in record.forecast]
    shares = [100 * coverage_of(arrays, record.labels.angles) for arrays in record.forecast.values()]
    canvas.target(ax, 100 * WIDE, "calibrated")
    ax.plot(places, shares, **DOTS, label="measured [%]")
    for place, share in zip(places, shares, strict=True):
        text = ax.annotate(f"{share:.0f}", (place, share), (0, 7), textcoords="offset points", ha="center", size=8.5)
        text.set(color=INK, path_effects=[withStroke(linewidth=3, foreground=PAPER)])
    canvas.percent_axis(ax, top=114)
    caption = "How often the blue line of the forecasts lay inside the 90% band, over all entries and steps ahead. "
    caption += "Below 90% the model is overconfident, above it underconfident."
    yield Picture.drawn("coverage", figure, caption)


def model_scores(record: Record) -> Iterator[Block]:
    """One-step likelihood and error of the model on each trial before it saw the trial."""
    if not {"model_nll", "model_rmse"} & record.metrics.keys():
        return
    names = ["negative log-likelihood [nats]", "RMSE (1: predicts only the mean change)"]
    figure, axes = _sheet(record, "One-step predictions", names, height=0.98)
    for ax, name in zip(axes, ("model_nll", "model_rmse"), strict=True):
        ax.plot(record.places, record.column(name), **DOTS)
    canvas.log_if_wide(axes[1])
    caption = "Of each trial before the model saw it, in stds of the change in a step; less is better. "
    caption += "The likelihood also judges the predicted uncertainty, the RMSE only the mean."
    yield Picture.drawn("model-scores", figure, caption)


def planning_time(record: Record) -> Iterator[Block]:
    """Milliseconds of a control step, against the time that a step lasts."""
    if not {"plan_ms_p50", "plan_ms_p99"} & record.metrics.keys():
        return
    figure, (ax,) = _sheet(record, "Time of a control step", height=2.1)
    ax.plot(record.places, record.column("plan_ms_p99"), "--", **DOTS, color=STEEL, label="slowest 1% [ms]")
    ax.plot(record.places, record.column("plan_ms_p50"), **DOTS, label="median [ms]")
    caption = "The time to plan and execute a control step, on this machine."
    if record.system:
        step = 1e3 * record.labels.dt
        canvas.target(ax, step, "real time")
        caption += f" Below the green line ({number(step)} ms) the controller keeps up with the real system."
    if not canvas.log_if_wide(ax):
        ax.set_ylim(bottom=0, auto=True)
    yield Picture.drawn("planning-time", figure, caption)


def wall_time(record: Record) -> Iterator[Block]:
    """The seconds of each row, spent on learning and on the rest."""
    unit, fit = record.words.unit, record.column("fit_s")
    figure, (ax,) = canvas.sheet(f"Seconds of each {unit}", [""], unit, height=2.1)
    trials = [row.trial for row in record.rows]
    rest = np.maximum(np.diff(record.column("wall_s"), prepend=0.0) - fit, 0.0)
    ax.bar(trials, fit, 0.62, color=STEEL, label="learning" if record.by_rounds else "fitting the model")
    ax.bar(trials, rest, 0.62, bottom=fit, color=MEASURED, label="acting and all else")
    canvas.trial_axis(ax, trials)
    caption = f"Wall-clock time. The first {unit}s include compilation."
    if record.by_rounds and not record.hosted:
        caption += " Acting on a simulator is compiled into one program with learning, and counts as learning."
    if record.by_rounds and record.last.trial >= 2:  # one round before the last has compiled
        before, last = record.rows[-2:]
        speed = (last.env_steps - before.env_steps) / (last.wall_s - before.wall_s)
        caption += f" The last round made {grouped(round(speed))} steps a second."
    yield Picture.drawn("wall-time", figure, caption)


def _sheet(record: Record, title: str, names: Sequence[str] = ("",), **layout: Any) -> tuple[Figure, list[Axes]]:
    """A sheet of panels over the rows of the run."""
    figure, axes = canvas.sheet(title, names, "environment steps" if record.by_rounds else "trial", **layout)
    if record.by_rounds:
        last = max(record.last.env_steps, 1)
        axes[0].set_xlim(-0.02 * last, 1.02 * last)
        axes[0].xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes[0].xaxis.set_major_formatter(EngFormatter(sep=""))  # 500, 12.5k, 2.5M
    else:
        canvas.trial_axis(axes[0], record.places)
    return figure, axes
