"""A sheet of panels with one look. Blue is what happened, orange what was expected, green what is aimed at."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

PAPER = "#ffffff"
INK = "#2c3845"
QUIET = "#6b7681"
LINE = "#e6e8ea"
STEEL = "#9aa4ad"
HAPPENED = "#346da8"
EXPECTED = "#e67e34"
AIM = "#3f8f66"
DASHED = (0, (6, 2))  # lines of what is aimed at

WIDTH = 5.2  # [in] at 100 CSS pixels an inch
PIXELS = 200  # an inch: two to a CSS pixel
LEFT, RIGHT, BOTTOM = 0.62, 0.16, 0.5  # [in] beside the panels
TITLE, LEGEND, NAME, GAP = 0.4, 0.23, 0.34, 0.12  # [in] heights: title, row of the legend, panel's name, no name


def sheet(
    title: str, names: Sequence[str], xlabel: str, *, height: float = 1.0, legend_rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a name, one below the other, over a common axis."""
    top = TITLE + LEGEND * legend_rows
    each = height + (NAME if any(names) else GAP)
    total = top + len(names) * each + BOTTOM
    figure = Figure(figsize=(WIDTH, total), dpi=PIXELS, facecolor=PAPER)
    figure.text(0.12 / WIDTH, 1 - 0.12 / total, title, color=INK, size=11.5, weight="bold", va="top")
    axes = []
    for index, name in enumerate(names):
        low = total - top - (index + 1) * each
        ax = figure.add_axes((LEFT / WIDTH, low / total, (WIDTH - LEFT - RIGHT) / WIDTH, height / total))
        ax.set_title(name, loc="left", size=9, color=INK, pad=4, x=0)
        dress(ax)
        ax.tick_params(labelbottom=index == len(names) - 1)
        axes.append(ax)
    axes[-1].set_xlabel(xlabel, size=9, color=QUIET, labelpad=3)
    return figure, axes


def legend(figure: Figure, ax: Axes, *, columns: int = 3) -> None:
    """Explain the panels' marks, by those of one panel, between the title and the panels."""
    handles, labels = ax.get_legend_handles_labels()
    total = figure.get_figheight()
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.12 / WIDTH, 1 - (TITLE - 0.02) / total),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.6,
        columnspacing=1.4,
        labelspacing=0.35,
    )


def episodic(ax: Axes, trials: Sequence[int]) -> None:
    """An axis of trial numbers."""
    ax.set_xlim(min(trials) - 0.5, max(trials) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))


def limits(*values: np.ndarray, margin: float = 0.08) -> tuple[float, float]:
    """Limits that hold all finite values, with some room; (0, 1) where there are none."""
    flat = np.concatenate([np.ravel(each) for each in values])
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return 0.0, 1.0
    low, high = float(flat.min()), float(flat.max())
    room = margin * (high - low) or max(1e-3 * abs(high), 1e-3)
    return low - room, high + room


def png(figure: Figure) -> bytes:
    """The picture, encoded."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PIXELS, metadata={"Software": None})
    return buffer.getvalue()


def dress(ax: Axes) -> None:
    """The look of a panel."""
    ax.set_facecolor(PAPER)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(STEEL)
    ax.tick_params(colors=QUIET, labelsize=8.5, length=3, color=STEEL)
    ax.grid(color=LINE, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=2))
    ax.yaxis.set_major_formatter(FuncFormatter(_short))


def _short(value: float | np.number, _: int | None = None) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}").replace("e+0", "e").replace("e+", "e")
