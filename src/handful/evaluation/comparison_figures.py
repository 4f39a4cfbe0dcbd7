"""Pictures of a comparison: learning curves of every seed and of each group, and how many seeds reached a return."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from handful.evaluation import canvas
from handful.evaluation.canvas import AIM, DASHED, EXPECTED, HAPPENED
from handful.evaluation.learning_curves import Axis, Band, band, interquartile_mean, mean
from handful.evaluation.run_groups import Group

COLOURS = (HAPPENED, EXPECTED, "#8c6bb1", "#b5495b", "#2f9c95", "#8a6d3b", "#5b6570", "#c07cae")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))  # the next where colours have run out
NAMES = {
    "env_steps": ("Return against interaction", "environment steps"),
    "wall_s": ("Return against time", "wall-clock [s]"),
}


def curves(groups: Sequence[Group], axis: Axis, threshold: float | None) -> Figure:
    """Every seed, mean and interquartile mean in their intervals, and the share of seeds that reached the threshold."""
    title, xlabel = NAMES[axis]
    names = ["mean, and every seed", "interquartile mean"]
    names += [] if threshold is None else [f"seeds that have reached {threshold:g} [%]"]
    rows = -(-3 * len(groups) // 4)  # a sheet's rows are meant for larger marks
    figure, axes = canvas.sheet(title, names, xlabel, height=1.5, legend_rows=rows)
    last = max(float(getattr(curve, axis)[-1]) for group in groups for curve in group.curves)
    for place, group in enumerate(groups):
        style = {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place // len(COLOURS) % len(DASHES)]}
        label = f"{group.label} ({len(group.runs)} seed{'s' if len(group.runs) != 1 else ''})"
        bands = [band(group.curves, axis, statistic) for statistic in (mean, interquartile_mean)]
        held = any(len(curve) < len(bands[0].at) for curve in group.curves)
        for curve in group.curves:
            shape = "steps-post" if held else "default"
            axes[0].plot(
                getattr(curve, axis), finite(curve.returns), **style, drawstyle=shape, linewidth=0.8, alpha=0.45
            )
        for ax, shown in zip(axes, bands, strict=False):
            _band(ax, shown, style, label, held=held)
        if threshold is not None:
            end = float(bands[0].at[-1])
            _share(axes[2], [curve.reached(axis, threshold) for curve in group.curves], end, style)
    for ax in axes[:2]:
        if threshold is not None:
            ax.axhline(threshold, color=AIM, linewidth=1.2, linestyle=DASHED, zorder=1)
        ax.margins(x=0.02)
    for ax in axes:
        ax.set_xlim(0, 1.03 * last)
    if threshold is not None:
        axes[2].set_ylim(-5, 109)
        axes[2].set_yticks(range(0, 101, 25))
    canvas.legend(figure, axes[0], columns=1)
    return figure


def _band(ax: Axes, shown: Band, style: dict, label: str, *, held: bool) -> None:
    """A line in its interval; in steps where returns were held until the next, straight where none was."""
    middle, low, high = map(finite, (shown.middle, shown.low, shown.high))
    ax.fill_between(shown.at, low, high, color=style["color"], alpha=0.2, linewidth=0, step="post" if held else None)
    drawing: dict[str, Any] = {"drawstyle": "steps-post"} if held else {"marker": "o", "markersize": 3.5}
    ax.plot(shown.at, middle, **style, **drawing, linewidth=1.9, label=label)


def _share(ax: Axes, reached: Sequence[float], end: float, style: dict) -> None:
    """How many of the seeds have reached it by then; those that never do count, and keep the line below the top."""
    at = np.sort([each for each in reached if np.isfinite(each)])
    share = 100 * np.arange(len(at) + 1) / len(reached)
    ax.plot([0, *at, end], [*share, share[-1]], **style, drawstyle="steps-post", linewidth=1.9)


def finite(values: np.ndarray) -> np.ndarray:
    """Gaps where a return is not finite."""
    return np.where(np.isfinite(values), values, np.nan)
