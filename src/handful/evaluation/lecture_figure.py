"""The lecture's chart: all methods on one task, return against samples and against wall-clock, both on log axes."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from handful.evaluation import canvas
from handful.evaluation.canvas import AIM, INK, PAPER, PIXELS, QUIET
from handful.evaluation.comparison_figures import finite
from handful.evaluation.facts import grouped, number
from handful.evaluation.kinds import MODEL_BASED, OFF_POLICY, ON_POLICY, UNKNOWN
from handful.evaluation.learning_curves import Axis, Curve
from handful.evaluation.methods import Method

Style = dict[str, Any]

RAMPS = {  # a family of colours for each kind, for its methods to share out
    ON_POLICY: ("#52b4d9", "#2f6fb5", "#3b3f94", "#8a63b8"),
    OFF_POLICY: ("#8fbf3f", "#2f8a57", "#174f3b"),
    MODEL_BASED: ("#e8b22e", "#e67e34", "#cc4433", "#a32860", "#e07aa0"),
    UNKNOWN: ("#a9b1b8", "#5b6570"),
}
MARKERS = "osD^vPXh<>p*"
APART = 0.09  # between two marks on a line, of a panel's diagonal
NAMES: dict[Axis, str] = {"env_steps": "environment steps", "wall_s": "wall-clock [s]"}
DECADES = 2000.0  # from which on an axis names its decades alone
LINE: Style = {"linewidth": 1.6, "markersize": 4.2, "markeredgewidth": 0}
AIMED: Style = {"color": AIM, "linewidth": 1.3, "linestyle": (0, (1, 1.8))}
WIDTH, LEFT, RIGHT, BETWEEN = 11.0, 0.72, 1.95, 0.3  # [in] all, beside the panels, between them
HEIGHT, TOP, BOTTOM = 3.7, 0.55, 0.55  # [in] of a panel at least, above, below
ROW, HEAD = 0.175, 0.42  # [in] in the legend: a method, a kind's name with the room before the next


def styles(methods: Sequence[Method]) -> dict[str, Style]:
    """How each method is drawn, by its label: its kind's colours, a mark of its own, dashes where it is tabular."""
    drawn: dict[str, Style] = {}
    for experience, kin in groupby(methods, key=lambda method: method.kind.experience):
        alike = {method.label: method.kind for method in kin}
        ramp = LinearSegmentedColormap.from_list(experience, RAMPS[experience])
        for place, (label, kind) in enumerate(alike.items()):
            drawn[label] = {
                "color": to_hex(ramp(place / max(1, len(alike) - 1))),
                "marker": MARKERS[place % len(MARKERS)],
                "linestyle": (0, (4, 1.4)) if kind.tabular else "-",
            }
    return drawn


def chart(task: str, methods: Sequence[Method], threshold: float | None, drawn: dict[str, Style]) -> Figure:
    """Means over seeds thick, every seed thin; the methods by kind."""
    kinds = len({method.kind.experience for method in methods})
    height = max(HEIGHT, ROW * len(methods) + HEAD * (kinds + 1))
    total = TOP + height + BOTTOM
    figure = Figure(figsize=(WIDTH, total), dpi=PIXELS, facecolor=PAPER)
    title = f"{task}: return against samples and against wall-clock"
    figure.text(0.14 / WIDTH, 1 - 0.14 / total, title, color=INK, size=12.5, weight="bold", va="top")
    each = (WIDTH - LEFT - BETWEEN - RIGHT) / 2
    aim = [] if threshold is None else [np.array([threshold])]
    values = [finite(curve.returns[curve.env_steps > 0]) for method in methods for curve in method.group.curves]
    for place, axis in enumerate(NAMES):
        left = LEFT + place * (each + BETWEEN)
        ax = figure.add_axes((left / WIDTH, BOTTOM / total, each / WIDTH, height / total))
        canvas.dress(ax)
        for method in methods:
            _lines(ax, method.group.curves, axis, drawn[method.label])
        for at in aim:
            ax.axhline(at[0], **AIMED, zorder=4)
        _log(ax, NAMES[axis])
        ax.set_ylim(*canvas.limits(*values, *aim))
        ax.tick_params(labelleft=place == 0)
    figure.axes[0].set_ylabel("return of a trial", size=9, color=QUIET, labelpad=3)
    _legend(figure, methods, drawn, threshold)
    return figure


def _lines(ax: Axes, curves: Sequence[Curve], axis: Axis, style: Style) -> None:
    """A point of the mean is of all seeds after as many trials. What an untrained policy does came before all steps."""
    begun = np.min([curve.env_steps for curve in curves], axis=0) > 0
    at, returns = (np.stack([getattr(curve, name)[begun] for curve in curves]) for name in (axis, "returns"))
    for places, values in zip(at, returns, strict=True):
        ax.plot(places, finite(values), color=style["color"], linewidth=0.6, alpha=0.3, zorder=2)
    middle = finite(returns.mean(0))
    if np.isfinite(middle).any():
        ax.plot(at.mean(0), middle, **style, **LINE, markevery=APART, zorder=3)


def _log(ax: Axes, name: str) -> None:
    """A log axis, with names at its decades, and at three times these where they are few; any, where it has no data."""
    low, high = ax.dataLim.minposx, ax.dataLim.x1
    if not 0 < low <= high:
        low, high = 1.0, 100.0
    room = max(1.1, (high / low) ** 0.04)
    ax.set_xscale("log")
    ax.set_xlim(low / room, high * room)
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > DECADES * low else (1.0, 3.0), numticks=12))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: grouped(round(value)) if value >= 1 else number(value)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", which="minor", length=0)
    ax.set_xlabel(name, size=9, color=QUIET, labelpad=3)


def _legend(figure: Figure, methods: Sequence[Method], drawn: dict[str, Style], threshold: float | None) -> None:
    """Names by kind, to the right of the panels; last what is aimed at."""
    below = TOP
    for experience, kin in groupby(methods, key=lambda method: method.kind.experience):
        names = [method.label for method in kin]
        title = _entries(figure, below, {name: {**drawn[name], **LINE} for name in names}, experience).get_title()
        title.set(color=RAMPS[experience][1], weight="bold", size=9)
        below += ROW * len(names) + HEAD
    if threshold is not None:
        _entries(figure, below, {f"solved from {number(threshold)}": AIMED})


def _entries(figure: Figure, below: float, lines: dict[str, Style], title: str | None = None) -> Legend:
    """A part of the legend, so far below the figure's top [in]."""
    return figure.legend(
        [Line2D([], [], **style) for style in lines.values()], list(lines), title=title, loc="upper left",
        bbox_to_anchor=((WIDTH - RIGHT + 0.18) / WIDTH, 1 - below / figure.get_figheight()), alignment="left",
        frameon=False, fontsize=8.8, labelcolor=INK, borderpad=0, borderaxespad=0, handlelength=2.6, labelspacing=0.42,
    )  # fmt: skip
