"""Pictures with one point a trial: what was learned, how good the model was, where the time went."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator

from handful.evaluation import by_round, canvas
from handful.evaluation.canvas import AIM, DASHED, EXPECTED, HAPPENED, INK, PAPER, STEEL
from handful.evaluation.forecasts import coverage, realised_in
from handful.evaluation.metrics import WIDE
from handful.evaluation.record import Record

BASELINES = {"zero action": (STEEL, (0, (1, 1.2))), "random": ("#8c6bb1", (0, (4, 2)))}


def learning_curve(record: Record) -> Figure:
    """The return of each trial, beside what was planned and what needs no learning."""
    axis = by_round.STEPS if record.by_rounds else "trial (0 acts at random)"
    figure, (ax,) = canvas.sheet(f"Return of each {record.words.unit}", [""], axis, height=2.42, legend_rows=2)
    trials, returns = _column(record, "return_")
    at = [row.env_steps for row in record.rows] if record.by_rounds else trials
    for name, values in record.baselines.items():
        colour, dashes = BASELINES.get(name, (STEEL, "--"))
        ax.axhspan(np.nanmin(values), np.nanmax(values), color=colour, alpha=0.16, linewidth=0)
        ax.axhline(float(np.nanmean(values)), color=colour, linestyle=dashes, linewidth=1.4, label=name)
    if record.solved_return is not None:
        ax.axhline(record.solved_return, color=AIM, linewidth=1.4, linestyle=DASHED, label="counts as solved")
    _, planned = _column(record, "planned_return")
    if np.isfinite(planned).any():
        ax.plot(at, planned, "o--", color=EXPECTED, markersize=5, markerfacecolor=PAPER, label="planned")
    ax.plot(at, returns, "o-", color=HAPPENED, markersize=5.5, linewidth=2, label="achieved")
    if record.by_rounds:
        by_round.count_steps(ax, record)
    else:
        canvas.episodic(ax, trials)
    canvas.legend(figure, ax)
    return figure


def planned_by_trial(record: Record) -> Figure:
    """Every control step's expectation against what came of it, coloured by trial."""
    figure, (ax,) = canvas.sheet(
        "Planned and realised, every control step", ["realised return over the same steps"],
        "planned return over the horizon", height=2.6, legend_rows=0,
    )  # fmt: skip
    trials = list(record.planned)
    means, all_realised, all_planned = [], [], []
    for place, trial in enumerate(trials):
        arrays = record.planned[trial]
        came = realised_in(arrays, record.discount)
        both = np.isfinite(came) & np.isfinite(arrays["planned_return"])
        if both.any():
            x, y = arrays["planned_return"][both], came[both]
            colour = _shade(place, len(trials))
            ax.scatter(x, y, s=7, color=colour, alpha=0.55, linewidths=0)
            means.append((x.mean(), y.mean(), trial, colour))
            all_planned.append(x)
            all_realised.append(y)
    for x, y, trial, colour in means:
        dark = sum(colour[:3]) < 1.7
        ax.scatter([x], [y], s=130, color=[colour], edgecolors=INK, linewidths=0.9, zorder=4)
        ax.annotate(str(trial), (x, y), ha="center", va="center", size=7.5, color=PAPER if dark else INK, zorder=5)
    low, high = canvas.limits(*all_planned, *all_realised) if means else (0.0, 1.0)
    ax.plot([low, high], [low, high], color=STEEL, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    return figure


def model_scores(record: Record) -> Figure:
    """One-step likelihood and error of the model on each trial before it saw the trial."""
    figure, (nll, rmse) = canvas.sheet(
        "One-step predictions", ["negative log-likelihood [nats]", "RMSE (1: knows only the mean change)"], "trial",
        height=0.98, legend_rows=0,
    )  # fmt: skip
    for ax, field in ((nll, "model_nll"), (rmse, "model_rmse")):
        trials, values = _column(record, field)
        ax.plot(trials, values, "o-", color=HAPPENED, markersize=5, linewidth=1.8)
        canvas.episodic(ax, trials)
    _log_if_wide(rmse, _column(record, "model_rmse")[1])
    return figure


def coverage_by_trial(record: Record) -> Figure:
    """How often what happened lay inside the forecast's wide band."""
    figure, (ax,) = canvas.sheet("Held by the 90% band", [""], "trial", height=2.3)
    trials = list(record.forecast)
    shares = [100 * coverage(arrays, record.labels.angles) for arrays in record.forecast.values()]
    ax.axhline(100 * WIDE, color=AIM, linestyle=DASHED, linewidth=1.4, label="as often as it should")
    ax.plot(trials, shares, "o-", color=HAPPENED, markersize=5.5, linewidth=2, label="how often it did [%]")
    for trial, share in zip(trials, shares, strict=True):
        text = ax.annotate(f"{share:.0f}", (trial, share), (0, 7), textcoords="offset points", ha="center", size=8.5)
        text.set(color=INK, path_effects=[withStroke(linewidth=3, foreground=PAPER)])
    ax.set_ylim(0, 114)
    ax.set_yticks(range(0, 101, 25))
    canvas.episodic(ax, [row.trial for row in record.rows])
    canvas.legend(figure, ax)
    return figure


def planning_time(record: Record) -> Figure:
    """Milliseconds a control step, against the time that a step lasts."""
    figure, (ax,) = canvas.sheet("Time of a control step", [""], "trial", height=2.1)
    trials, p50 = _column(record, "plan_ms_p50")
    _, p99 = _column(record, "plan_ms_p99")
    ax.plot(trials, p99, "o--", color=STEEL, markersize=4.5, linewidth=1.4, label="slowest 1% [ms]")
    ax.plot(trials, p50, "o-", color=HAPPENED, markersize=5.5, linewidth=2, label="median [ms]")
    shown = [p50, p99]
    if record.task:
        ax.axhline(1e3 * record.labels.dt, color=AIM, linestyle=DASHED, linewidth=1.4, label="real time")
        shown.append(np.array([1e3 * record.labels.dt]))
    if not _log_if_wide(ax, np.concatenate(shown)):
        ax.set_ylim(0, canvas.limits(*shown, margin=0.15)[1])
    canvas.episodic(ax, trials)
    canvas.legend(figure, ax)
    return figure


def wall_time(record: Record) -> Figure:
    """Where the seconds of each trial went."""
    unit, fitting = record.words.unit, "learning" if record.by_rounds else "fitting the model"
    figure, (ax,) = canvas.sheet(f"Seconds a {unit}", [""], unit, height=2.1)
    trials, fit = _column(record, "fit_s")
    _, wall = _column(record, "wall_s")
    rest = np.maximum(np.diff(wall, prepend=0.0) - fit, 0.0)
    ax.bar(trials, fit, 0.62, color=STEEL, label=fitting)
    ax.bar(trials, rest, 0.62, bottom=fit, color=HAPPENED, label="acting and all else")
    canvas.episodic(ax, trials)
    canvas.legend(figure, ax)
    return figure


def _column(record: Record, field: str) -> tuple[list[int], np.ndarray]:
    """Trial numbers and a field of their rows; NaN where it is absent or not finite."""
    values = [getattr(row, field) for row in record.rows]
    known = [math.nan if value is None or not math.isfinite(value) else value for value in values]
    return [row.trial for row in record.rows], np.array(known, float)


def _log_if_wide(ax: Axes, values: np.ndarray) -> bool:
    """A logarithmic axis for positive values over more than a decade."""
    values = values[np.isfinite(values)]
    if not values.size or values.min() <= 0 or values.max() < 10 * values.min():
        return False
    formatter = ax.yaxis.get_major_formatter()
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if values.max() > 100 * values.min() else (1.0, 3.0)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(formatter)
    ax.set_ylim(values.min() / 1.6, 1.6 * values.max())
    return True


def _shade(place: int, count: int) -> tuple[float, float, float]:
    """From pale for the first trial to dark for the last."""
    pale, dark = np.array([0.98, 0.84, 0.62]), np.array([0.13, 0.27, 0.46])
    middle = np.array([0.35, 0.62, 0.76])
    at = place / max(count - 1, 1)
    mixed = pale + 2 * at * (middle - pale) if at < 0.5 else middle + (2 * at - 1) * (dark - middle)
    return float(mixed[0]), float(mixed[1]), float(mixed[2])
