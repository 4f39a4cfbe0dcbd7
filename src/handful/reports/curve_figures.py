"""Learning curves of many runs: of groups with their intervals, and of all methods on one task."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from handful.agents.catalogue import AGENTS, UNKNOWN, Learns
from handful.reports import canvas
from handful.reports.canvas import INK, MEASURED, PAPER, PIXELS, PREDICTED, QUIET, TARGET
from handful.reports.record import finite
from handful.reports.wording import count, grouped, number
from handful.scores.groups import SeedGroup
from handful.scores.learning_curves import Axis, Curve, band, interquartile_mean, mean

Style = dict[str, Any]

COLOURS = (MEASURED, PREDICTED, "#8c6bb1", "#b5495b", "#2f9c95", "#8a6d3b", "#5b6570", "#c07cae")  # of groups
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))  # the next where colours have run out
NAMES: dict[Axis, tuple[str, str]] = {
    "env_steps": ("Return against interaction", "environment steps"),
    "wall_s": ("Return against time", "wall-clock [s]"),
}
RAMPS = {  # colours of each kind, between which those of its methods are interpolated
    "on-policy": ("#52b4d9", "#2f6fb5", "#3b3f94", "#8a63b8"),
    "off-policy": ("#8fbf3f", "#2f8a57", "#174f3b"),
    "model-based": ("#e8b22e", "#e67e34", "#cc4433", "#a32860", "#e07aa0"),
    UNKNOWN.experience: ("#a9b1b8", "#5b6570"),
}
MARKERS = "osD^vPXh<>p*"
APART = 0.09  # between two marks on a line, of a panel's diagonal
DECADES = 2000.0  # ratio of an axis's ends from which on only decades are labelled
LINE: Style = {"linewidth": 1.6, "markersize": 4.2, "markeredgewidth": 0}
SOLVED: Style = {"color": TARGET, "linewidth": 1.3, "linestyle": (0, (1, 1.8))}
NARROW = 32  # [characters] of a line of the legend beside the panels
WIDTH, HEIGHT, AROUND, ROW = 11.0, 4.8, 0.9, 0.235  # [in] all, at least, beside the legend, of a line of the legend


def curves(groups: Sequence[SeedGroup], axis: Axis) -> Figure:
    """Every seed, mean and interquartile mean in their intervals, and the share of seeds that reached the threshold."""
    title, xlabel = NAMES[axis]
    threshold, last = groups[0].threshold, 0.0
    names = ["mean, and every seed", "interquartile mean"]
    names += [] if threshold is None else [f"seeds that have reached {threshold:g} [%]"]
    figure, axes = canvas.sheet(title, names, xlabel, height=1.5)
    for place, group in enumerate(groups):
        style = {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place // len(COLOURS) % len(DASHES)]}
        bands = [band(group.curves, axis, statistic) for statistic in (mean, interquartile_mean)]
        ends, _ = bands[0]
        held = any(len(curve) < len(ends) for curve in group.curves)
        for curve in group.curves:
            thin = {"drawstyle": "steps-post" if held else "default", "linewidth": 0.8, "alpha": 0.45}
            axes[0].plot(getattr(curve, axis), finite(curve.returns), **style, **thin)
        for ax, (at, shown) in zip(axes, bands, strict=False):
            middle, low, high = finite(shown)
            drawing: Style = {"drawstyle": "steps-post"} if held else {"marker": "o", "markersize": 3.5}
            label = f"{group.label} ({count(group.seeds, 'seed')})"
            ax.fill_between(at, low, high, color=style["color"], alpha=0.2, lw=0, step="post" if held else None)
            ax.plot(at, middle, **style, **drawing, linewidth=1.9, label=label)
        if threshold is not None:
            _share(axes[2], group.reached[axis], ends[-1], style)
        last = max(last, ends[-1])
    if threshold is not None:
        for ax in axes[:2]:
            canvas.target(ax, threshold, linewidth=1.2, zorder=1)
        canvas.percent_axis(axes[2], bottom=-5, top=109)
    axes[0].set_xlim(0, 1.03 * last)
    return figure


def _share(ax: Axes, reached: np.ndarray, end: float, style: dict) -> None:
    """The share of seeds that have reached the threshold; seeds that never do count in the total."""
    at = np.sort(reached[np.isfinite(reached)])
    share = 100 * np.arange(len(at) + 1) / len(reached)
    ax.plot([0, *at, end], [*share, share[-1]], **style, drawstyle="steps-post", linewidth=1.9)


def kind_of(method: SeedGroup) -> Learns:
    """What a method learns from."""
    return AGENTS[method.agent].learns if method.agent in AGENTS else UNKNOWN


def styles(methods: Sequence[SeedGroup]) -> dict[str, Style]:
    """The style of each method by its label: a colour of its kind, a mark of its own, dashed where it is tabular."""
    drawn: dict[str, Style] = {}
    for experience, kin in groupby(methods, key=lambda method: kind_of(method).experience):
        alike = {method.label: kind_of(method).tabular for method in kin}
        ramp = LinearSegmentedColormap.from_list(experience, RAMPS[experience])
        for place, (label, tabular) in enumerate(alike.items()):
            colour, marker = to_hex(ramp(place / max(1, len(alike) - 1))), MARKERS[place % len(MARKERS)]
            drawn[label] = {"color": colour, "marker": marker, "linestyle": (0, (4, 1.4)) if tabular else "-"}
    return drawn


def chart(task: str, methods: Sequence[SeedGroup], drawn: dict[str, Style]) -> Figure:
    """Means over seeds as thick lines, every seed as a thin one. `drawn` are `styles`."""
    entries, threshold = {}, methods[0].threshold
    for method in methods:
        entries |= {kind_of(method).experience: {"linestyle": "none"}, method.label: drawn[method.label] | LINE}
    if threshold is not None:
        entries[f"solved from {number(threshold)}"] = SOLVED
    labels = [canvas.folded(label, NARROW) for label in entries]
    height = max(HEIGHT, ROW * sum(1 + label.count("\n") for label in labels) + AROUND)
    figure = Figure(figsize=(WIDTH, height), dpi=PIXELS, facecolor=PAPER, layout="constrained")
    title = f"{task}: return against samples and against wall-clock"
    figure.suptitle(title, color=INK, size=12.5, weight="bold", x=0.012, ha="left")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, (axis, (_, name)) in zip(axes, NAMES.items(), strict=True):
        canvas.dress(ax)
        for method in methods:
            _lines(ax, method.curves, axis, drawn[method.label])
        if threshold is not None:
            ax.axhline(threshold, **SOLVED, zorder=4)
        _log(ax, name)
    axes[0].set_ylabel("return of a trial", size=9, color=QUIET, labelpad=3)
    legend = figure.legend(
        [Line2D([], [], **style) for style in entries.values()], labels, loc="outside right upper",
        frameon=False, fontsize=8.8, labelcolor=INK, handlelength=2.6, labelspacing=0.42,
    )  # fmt: skip
    for text in legend.get_texts():
        if text.get_text() in RAMPS:
            text.set(color=RAMPS[text.get_text()][1], weight="bold", size=9)
    return figure


def _lines(ax: Axes, curves: Sequence[Curve], axis: Axis, style: Style) -> None:
    """The mean over seeds after as many trials, and every seed; without the return before the first step."""
    begun = np.min([curve.env_steps for curve in curves], axis=0) > 0
    at, returns = (np.stack([getattr(curve, name)[begun] for curve in curves]) for name in (axis, "returns"))
    ax.plot(at.T, finite(returns.T), color=style["color"], linewidth=0.6, alpha=0.3, zorder=2)
    middle = finite(returns.mean(0))
    if np.isfinite(middle).any():
        ax.plot(at.mean(0), middle, **style, **LINE, markevery=APART, zorder=3)


def _log(ax: Axes, name: str) -> None:
    """A logarithmic axis with labels at decades, and at three times these where they are few."""
    ax.set_xscale("log")
    ax.margins(x=0.04)
    if not np.isfinite(ax.dataLim.minposx):  # nothing is drawn
        ax.set_xlim(1, 100)
    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > DECADES * low else (1.0, 3.0), numticks=12))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: grouped(round(value)) if value >= 1 else number(value)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(name, size=9, color=QUIET, labelpad=3)
