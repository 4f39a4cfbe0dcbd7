"""The common look of all figures. Blue is measured, orange predicted, green the target."""

import io
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from handful.reports.wording import number

PAPER, INK, QUIET, LINE, STEEL = "#ffffff", "#2c3845", "#6b7681", "#e6e8ea", "#9aa4ad"
MEASURED, PREDICTED, TARGET = "#346da8", "#e67e34", "#3f8f66"
DASHED = (0, (6, 2))  # lines of targets
DOTS: dict[str, Any] = {"marker": "o", "markersize": 5, "linewidth": 2}

WIDTH = 5.2  # [in] at 100 CSS pixels an inch
PIXELS = 200  # an inch: two to a CSS pixel
LEFT, RIGHT, BOTTOM = 0.62, 0.16, 0.5  # [in] beside the panels
TITLE, NAME, GAP = 0.4, 0.34, 0.12  # [in] heights: title, panel's name, no name
LEGEND, LEGEND_ROW = 0.065, 0.165  # [in] heights: beside the rows of a legend, each of them
OUTLYING = 1e6  # times the upper quartile of magnitudes: values beyond that are not drawn
LINE_LENGTH, HANDLE = 86, 8  # [characters] of a legend over the whole width, and beside the label of each column
SHORT_OF = 0.1  # of the range of the data: the most by which the outer labelled value may fall short of them


def sheet(title: str, names: Sequence[str], xlabel: str, *, height: float = 1.0) -> tuple[Figure, list[Axes]]:
    """A figure with one panel for each name, one below the other, over a common axis. `height` of a panel in inches.

    Lines are of the colour `MEASURED` unless another is given. `legend` makes room for itself.
    """
    between = NAME if any(names) else GAP
    top = TITLE
    total = top + len(names) * (height + between) + BOTTOM
    figure = Figure(figsize=(WIDTH, total), dpi=PIXELS, facecolor=PAPER)
    figure.text(0.12 / WIDTH, 1 - 0.12 / total, title, color=INK, size=11.5, weight="bold", va="top")
    figure.subplots_adjust(
        LEFT / WIDTH, BOTTOM / total, 1 - RIGHT / WIDTH, 1 - (top + between) / total, hspace=between / height
    )
    axes = figure.subplots(len(names), sharex=True, squeeze=False)[:, 0].tolist()
    for ax, name in zip(axes, names, strict=True):
        ax.set_title(name, loc="left", size=9, color=INK, pad=4, x=0)
        dress(ax)
    axes[-1].set_xlabel(xlabel, size=9, color=QUIET, labelpad=3)
    return figure, axes


def dress(ax: Axes) -> None:
    """Give a panel the common look."""
    ax.set_prop_cycle(color=[MEASURED])
    ax.margins(y=0.08)
    ax.set_facecolor(PAPER)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(STEEL)
    ax.tick_params(colors=QUIET, labelsize=8.5, length=3, color=STEEL)
    ax.grid(color=LINE, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=2))
    short = FuncFormatter(lambda value, _: number(float(value)).replace("e+0", "e").replace("e+", "e"))
    ax.yaxis.set_major_formatter(short)


def legend(figure: Figure, *, columns: int) -> None:
    """A legend of the first panel's marks, if they have labels, in room of its own between the title and the panels."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        columns = min(columns, len(labels))
        labels = [folded(label, LINE_LENGTH // columns - HANDLE) for label in labels]
        lines = [1 + label.count("\n") for label in labels]
        rows = -(-len(labels) // columns)
        tallest = max(sum(lines[first : first + rows]) for first in range(0, len(lines), rows))
        _grow(figure, LEGEND + LEGEND_ROW * tallest)
        figure.legend(
            handles, labels, loc="upper left", ncols=columns, frameon=False, fontsize=8.5, labelcolor=INK, borderpad=0,
            bbox_to_anchor=(0.12 / WIDTH, 1 - (TITLE - 0.02) / figure.get_figheight()), borderaxespad=0,
            handlelength=1.6, columnspacing=1.4, labelspacing=0.35,
        )  # fmt: skip


def folded(label: str, length: int) -> str:
    """A label in lines of so many characters at most."""
    return textwrap.fill(label, length) if len(label) > length else label


def _grow(figure: Figure, inches: float) -> None:
    """Make a sheet so much higher below its title; panels keep their size and their distance from the lower edge."""
    before, sides = figure.get_figheight(), figure.subplotpars
    total = before + inches
    figure.set_figheight(total)
    figure.subplots_adjust(bottom=sides.bottom * before / total, top=sides.top * before / total)
    for text in figure.texts:
        x, y = text.get_position()
        text.set_position((x, 1 - (1 - y) * before / total))


def fit_vertical(ax: Axes) -> None:
    """Fit a linear vertical axis that nothing else has set: outlying values do not count, and labels reach the others.

    The number of values that lie beyond the axis is written in the panel.
    """
    if not ax.get_autoscaley_on() or ax.get_yscale() != "linear":
        return
    lines = [np.asarray(line.get_ydata(), float) for line in ax.lines if line.get_transform() == ax.transData]
    values = np.concatenate([[], *lines])
    largest, ends = largest_of(values), ax.dataLim.intervaly
    if np.abs(ends).max() > largest:
        ax.set_ylim(limits(values))
        far = int((np.abs(values[np.isfinite(values)]) > largest).sum())
        said = f"{far} value{'s' * (far != 1)} beyond the axis"
        style = {"ha": "right", "va": "top", "size": 7.5, "color": QUIET}
        ax.text(0.995, 0.97, said * bool(far), transform=ax.transAxes, **style)
    else:
        _label_ends(ax, *ends)


def largest_of(values: np.ndarray) -> float:
    """The magnitude beyond which a value is outlying: it would leave no trace of three quarters of the others."""
    sizes = np.abs(values[np.isfinite(values)])
    usual = np.quantile(sizes, 0.75, method="lower") if sizes.size > 2 else 0.0
    return float(OUTLYING * usual) if usual > 0 else np.inf


def _label_ends(ax: Axes, low: float, high: float) -> None:
    """Lengthen the axis to the next labelled value where the outer one falls short of the data."""
    if not (np.isfinite([low, high]).all() and high > low):
        return
    bottom, top = ax.get_ylim()
    ticks = np.asarray(ax.yaxis.get_major_locator().tick_values(bottom, top))
    shown, short = ticks[(ticks >= bottom) & (ticks <= top)], SHORT_OF * (high - low)
    above, below = ticks[ticks > top], ticks[ticks < bottom]
    if len(shown) and high - shown[-1] > short and len(above):
        top = above[0]
    if len(shown) and shown[0] - low > short and len(below):
        bottom = below[-1]
    ax.set_ylim(bottom, top)


def target(ax: Axes, value: int | float, label: str | None = None, **style: Any) -> None:
    """A dashed horizontal line at a value to reach or to keep."""
    ax.axhline(value, **{"color": TARGET, "linestyle": DASHED, "linewidth": 1.4, "label": label, **style})


def trial_axis(ax: Axes, trials: Sequence[int]) -> None:
    """A horizontal axis of trial numbers."""
    ax.set_xlim(min(trials) - 0.5, max(trials) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))


def percent_axis(ax: Axes, *, bottom: int = 0, top: int = 105) -> None:
    """A vertical axis of percent."""
    ax.set_ylim(bottom, top)
    ax.set_yticks(range(0, 101, 25))


def log_if_wide(ax: Axes) -> bool:
    """Make the vertical axis logarithmic where all finite data are positive and span more than a decade."""
    low, high = ax.dataLim.intervaly
    if low <= 0 or high < 10 * low:
        return False
    formatter = ax.yaxis.get_major_formatter()
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 3.0)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(formatter)
    return True


def limits(*values: np.ndarray, margin: float = 0.08) -> tuple[float, float]:
    """Limits around all finite values that are not outlying, with a margin; (0, 1) where there are none."""
    flat = np.concatenate([[], *map(np.ravel, values)]).astype(float)
    flat = flat[np.isfinite(flat)]
    flat = flat[np.abs(flat) <= largest_of(flat)]
    if not flat.size:
        return 0.0, 1.0
    low, high = float(flat.min()), float(flat.max())
    room = margin * (high - low) or max(1e-3 * abs(high), 1e-3)
    return low - room, high + room


def png(figure: Figure) -> bytes:
    """The encoded picture. All text is drawn as it stands: names of users may hold `$` or lone surrogates."""
    for ax in figure.axes:
        fit_vertical(ax)
    for text in figure.findobj(Text):
        text.set(parse_math=False, text=text.get_text().encode(errors="replace").decode())
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box is drawn instead
        figure.savefig(buffer, format="png", dpi=PIXELS, metadata={"Software": None})
    return buffer.getvalue()
