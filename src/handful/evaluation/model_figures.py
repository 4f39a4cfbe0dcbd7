"""Pictures of what a model knows: is it as sure as it is right, how far does that hold, and where does it doubt?"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from handful.evaluation import canvas
from handful.evaluation.canvas import AIM, DASHED, EXPECTED, HAPPENED, INK, STEEL
from handful.evaluation.metrics import WIDE
from handful.evaluation.record import Arrays

WHEN = {"before": (STEEL, "before recalibration"), "after": (HAPPENED, "after")}
ENTRIES_SHOWN = 12
_BINS = 10  # of the histogram
_REACH, _PIECES = 3.0, 18  # [std] of an entry's range shown, and the pieces that it is cut into


def calibration(arrays: Arrays, horizon: int) -> Figure:
    """How often central bands of each probability held the truth."""
    names = ["one step ahead", f"{horizon} steps ahead"]
    figure, axes = canvas.sheet("Held by bands of each width", names, "probability of the band [%]", height=1.75)
    levels = np.linspace(0, 1, 41)
    for ax, place in zip(axes, ("one", "far"), strict=True):
        ax.plot([0, 100], [0, 100], color=AIM, linestyle=DASHED, linewidth=1.4, label="as often as it should")
        for when, (colour, label) in WHEN.items():
            if f"pit_{place}_{when}" in arrays:
                off = np.abs(arrays[f"pit_{place}_{when}"] - 0.5)
                held = [np.mean(off <= level / 2) for level in levels]  # NaN is never held
                ax.plot(100 * levels, 100 * np.array(held), color=colour, linewidth=2, label=label)
        _percent(ax)
        ax.set_xlim(0, 100)
    canvas.legend(figure, axes[0])
    return figure


def histogram(arrays: Arrays, horizon: int) -> Figure:
    """Where in its forecast the truth lay."""
    names = ["one step ahead", f"{horizon} steps ahead"]
    figure, axes = canvas.sheet(
        "Where the truth lay in the forecast", names, "place from lowest to highest", height=1.1
    )
    edges = np.linspace(0, 1, _BINS + 1)
    for ax, place in zip(axes, ("one", "far"), strict=True):
        ax.axhline(1, color=AIM, linestyle=DASHED, linewidth=1.4, label="honest", zorder=3)
        for when, (colour, label) in WHEN.items():
            pit = arrays.get(f"pit_{place}_{when}", np.empty(0)).ravel()
            if pit.size:
                height = np.histogram(pit, edges)[0] * _BINS / pit.size
                filled = when == "after" or f"pit_{place}_after" not in arrays
                ax.stairs(height, edges, color=colour, fill=filled, alpha=0.8 if filled else 1, label=label, lw=1.6)
        ax.set_ylim(bottom=0)
        ax.set_xlim(0, 1)
    canvas.legend(figure, axes[0])
    return figure


def coverage(arrays: Arrays, names: Sequence[str], trusted: float) -> Figure:
    """How often the wide band held the truth, step by step ahead."""
    figure, axes = canvas.sheet(
        "Held by the 90% band, by steps ahead", ["all entries", "each entry, as it is now"], "steps ahead", height=1.25,
        legend_rows=2,
    )  # fmt: skip
    for when, (colour, label) in WHEN.items():
        if f"coverage_{when}" in arrays:
            held = arrays[f"coverage_{when}"]
            axes[0].plot(_steps(held), 100 * held.mean(1), color=colour, linewidth=2, label=label)
    now = arrays.get("coverage_after", arrays["coverage_before"])
    for index in range(min(len(names), ENTRIES_SHOWN)):
        label = names[index].split(" [")[0]
        axes[1].plot(_steps(now), 100 * now[:, index], linewidth=1.3, color=_hue(index, now.shape[1]), label=label)
    for ax, labels in zip(axes, (("as often as it should", "least that is trusted"), (None, None)), strict=True):
        ax.axhline(100 * WIDE, color=AIM, linestyle=DASHED, linewidth=1.4, label=labels[0])
        ax.axhline(100 * trusted, color=EXPECTED, linestyle=(0, (1, 1.2)), linewidth=1.4, label=labels[1])
        _percent(ax)
        ax.set_xlim(0 if len(now) > 1 else 0.5, len(now) + 0.5)
    axes[1].legend(loc="lower left", ncols=3, fontsize=7.5, frameon=False, labelcolor=INK, columnspacing=1.2)
    canvas.legend(figure, axes[0], columns=2)
    return figure


def growth(arrays: Arrays) -> Figure:
    """Error and spread, step by step ahead."""
    names = ["error of the mean (1: knows only the mean change)", "spread over error (1: honest)"]
    figure, axes = canvas.sheet("Error and doubt, by steps ahead", names, "steps ahead", height=1.1)
    for ax, name in zip(axes, ("nrmse", "spread_skill"), strict=True):
        shown = []
        for when, (colour, label) in WHEN.items():
            if f"{name}_{when}" in arrays:
                values = arrays[f"{name}_{when}"]
                shown.append(np.where(np.isfinite(values), values, np.nan).mean(1))
                ax.plot(_steps(values), shown[-1], color=colour, linewidth=2, label=label)
                ax.set_xlim(0 if len(values) > 1 else 0.5, len(values) + 0.5)
        ax.set_ylim(0, max(1.05, canvas.limits(*shown)[1]))
        ax.axhline(1, color=AIM, linestyle=DASHED, linewidth=1.4, label="one")
    canvas.legend(figure, axes[0])
    return figure


def doubt(arrays: Arrays, names: Sequence[str]) -> Figure:
    """Both parts of the doubt about each entry's change, along that entry."""
    shown = list(names[:ENTRIES_SHOWN])
    figure, axes = canvas.sheet(
        "Doubt along each observation [std of its change]", shown, "the entry, in std around its mean", height=0.85
    )
    for index, ax in enumerate(axes):
        value = arrays["seen"][:, index]
        value = (value - value.mean()) / max(value.std(), 1e-12)
        for name, colour, label in (
            ("aleatoric", STEEL, "noise: data cannot remove it"), ("epistemic", EXPECTED, "ignorance: data would"),
        ):  # fmt: skip
            at, height = _binned(value, arrays[name][:, index])
            ax.plot(at, height, "o-", color=colour, markersize=3.5, linewidth=1.6, label=label)
        ax.vlines(value, 0, 0.045, transform=ax.get_xaxis_transform(), color=INK, alpha=0.3, linewidth=0.7)
        heights = [np.asarray(line.get_ydata(), float) for line in ax.lines]
        ax.set_ylim(0, canvas.limits(np.zeros(1), *heights, margin=0.15)[1])
        ax.set_xlim(-_REACH - 0.2, _REACH + 0.2)
    canvas.legend(figure, axes[0])
    return figure


def _binned(
    value: Float[np.ndarray, "b"], std: Float[np.ndarray, "b"]
) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    """The root mean variance in equally wide pieces that hold a transition, over the mean place of each.

    Transitions whose std is not finite are left out.
    """
    value, std = value[np.isfinite(std)], std[np.isfinite(std)].astype(float)
    edges = np.linspace(-_REACH, _REACH, _PIECES + 1)
    piece = np.digitize(value, edges)
    groups = [piece == index for index in range(1, _PIECES + 1) if (piece == index).any()]
    return np.array([value[rows].mean() for rows in groups]), np.array(
        [np.sqrt(np.mean(std[rows] ** 2)) for rows in groups]
    )


def _steps(values: np.ndarray) -> np.ndarray:
    return np.arange(1, len(values) + 1)


def _percent(ax: Axes) -> None:
    ax.set_ylim(0, 105)
    ax.set_yticks(range(0, 101, 25))


def _hue(index: int, count: int) -> tuple[float, float, float]:
    """Shades of blue, from pale to dark."""
    pale, dark = np.array([0.62, 0.78, 0.90]), np.array([0.10, 0.22, 0.42])
    mixed = pale + index / max(count - 1, 1) * (dark - pale)
    return float(mixed[0]), float(mixed[1]), float(mixed[2])
