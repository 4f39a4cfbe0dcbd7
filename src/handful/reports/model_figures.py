"""Figures of a fitted model on held-out trials, each with its caption."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from handful.reports import canvas
from handful.reports.canvas import INK, MEASURED, PREDICTED, STEEL
from handful.reports.page import Block, Picture, paragraph
from handful.reports.record import Arrays, Labels, finite
from handful.reports.trial_figures import READING, forecast
from handful.scores.metrics import WIDE

WHEN = {"before": (STEEL, "before recalibration"), "after": (MEASURED, "after")}
PARTS = {"aleatoric": (STEEL, "aleatoric (noise)"), "epistemic": (PREDICTED, "epistemic (more data reduce it)")}
ENTRIES_SHOWN = 12
PALE, DARK = np.array([0.62, 0.78, 0.90]), np.array([0.10, 0.22, 0.42])  # blues of the first and the last entry
_BINS = 10  # of the histogram
_REACH, _PIECES = 3.0, 18  # [std] of an entry's range shown, and the intervals that it is cut into


@dataclass(frozen=True)
class ModelRecord:
    """The contents of a model folder."""

    config: dict[str, Any]
    scores: dict[str, Any]
    arrays: Arrays

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.config["names"])

    def both(self, name: str) -> Iterator[tuple[np.ndarray, str, str]]:
        """An array with its colour and label, before and after recalibration."""
        for when, (colour, label) in WHEN.items():
            if f"{name}_{when}" in self.arrays:
                yield self.arrays[f"{name}_{when}"], colour, label


def calibration(record: ModelRecord) -> Iterator[Block]:
    """Coverage of central bands of each probability."""
    held_out = ", ".join(map(str, record.scores["split"]["held_out"]))
    yield paragraph(f"On held-out trials ({held_out}). Calibration of one step says little about many; both are shown.")
    levels = np.linspace(0, 1, 41)
    figure, panels = _one_and_far(record, "Coverage of central bands", "probability of the band [%]", height=1.75)
    for ax, name in panels:
        ax.plot([0, 100], [0, 100], color=canvas.TARGET, linestyle=canvas.DASHED, linewidth=1.4, label="calibrated")
        for pit, colour, label in record.both(name):
            held = [np.mean(np.abs(pit - 0.5) <= level / 2) for level in levels]  # NaN is never held
            ax.plot(100 * levels, 100 * np.array(held), color=colour, linewidth=2, label=label)
        canvas.percent_axis(ax)
        ax.set_xlim(0, 100)
    caption = (
        "Bands of 60% should contain 60 of 100 measurements. Below the line: overconfident. Above: underconfident."
    )
    yield Picture.drawn("calibration", figure, caption)


def histogram(record: ModelRecord) -> Iterator[Block]:
    """Histograms of the probability integral transform."""
    edges = np.linspace(0, 1, _BINS + 1)
    title = "Rank of the measurement in its forecast"
    figure, panels = _one_and_far(record, title, "from lowest to highest", height=1.1)
    for ax, name in panels:
        canvas.target(ax, 1, "calibrated", zorder=3)
        for pit, colour, label in record.both(name):
            if pit.size:
                filled = label == "after" or f"{name}_after" not in record.arrays
                height = np.histogram(pit, edges)[0] * _BINS / pit.size
                ax.stairs(height, edges, color=colour, fill=filled, alpha=0.8 if filled else 1, label=label, lw=1.6)
        ax.set(xlim=(0, 1), ylim=(0, None))
    caption = "Level bars: calibrated. A hill: underconfident. High ends: overconfident. A slope: the mean is biased."
    yield Picture.drawn("ranks", figure, caption)


def coverage(record: ModelRecord) -> Iterator[Block]:
    """Coverage of the 90 % band, by steps ahead."""
    panels = ["all entries", "each entry, recalibrated"]
    title = "Coverage of the 90% band, by steps ahead"
    figure, axes, steps = _by_step(record, title, panels, height=1.25)
    for values, colour, label in record.both("coverage"):
        axes[0].plot(steps, 100 * values.mean(1), color=colour, linewidth=2, label=label)
    now = record.arrays.get("coverage_after", record.arrays["coverage_before"])
    for name, values, share in zip(record.names[:ENTRIES_SHOWN], now.T, np.linspace(0, 1, now.shape[1]), strict=False):
        label = " " + name.split(" [")[0]  # Matplotlib leaves out labels that begin with an underscore
        axes[1].plot(steps, 100 * values, linewidth=1.3, color=PALE + share * (DARK - PALE), label=label)
    axes[1].legend(ncols=3, fontsize=7.5, framealpha=0.85, edgecolor="none", labelcolor=INK, columnspacing=1.2)
    least, dotted = 100 * record.scores["trusted_coverage"], (0, (1, 1.2))
    for ax in axes:
        canvas.target(ax, 100 * WIDE, "calibrated")
        canvas.target(ax, least, "least coverage that is trusted", color=PREDICTED, linestyle=dotted)
        canvas.percent_axis(ax)
    caption = "Trust ends at the latest before the upper curve first falls below the dotted line."
    yield Picture.drawn("coverage", figure, caption, columns=2)


def growth(record: ModelRecord) -> Iterator[Block]:
    """Error and spread, by steps ahead."""
    panels = ["error of the mean (1: predicts only the mean change)", "spread over error (1: calibrated)"]
    figure, axes, steps = _by_step(record, "Error and spread, by steps ahead", panels, height=1.1)
    for ax, name in zip(axes, ("nrmse", "spread_skill"), strict=True):
        for values, colour, label in record.both(name):
            ax.plot(steps, finite(values).mean(1), color=colour, linewidth=2, label=label)
        canvas.target(ax, 1, "one")
        ax.set_ylim(bottom=0, auto=True)
    caption = (
        "Above: error over the std of the change in as many steps. Below: does the particles' spread grow likewise?"
    )
    yield Picture.drawn("growth", figure, caption)


def held_out_trial(record: ModelRecord) -> Iterator[Block]:
    """Forecasts along a held-out trial."""
    trial = {name: finite(array) for name, array in record.arrays.items()}
    dt, unit = (record.config["dt"], "s") if record.config["timed"] else (1.0, "steps")
    labels = Labels(record.names, tuple(record.config["angles"]), dt, unit)
    figure = forecast(trial, labels, int(record.arrays["number"]))
    caption = f"A held-out trial, or its first stretch without a gap. {READING}"
    yield Picture.drawn("forecast", figure, caption, columns=4)


def uncertainty(record: ModelRecord) -> Iterator[Block]:
    """Aleatoric and epistemic std of the change of each entry, along that entry."""
    title, names = "Uncertainty along each observation [std of its change]", record.names[:ENTRIES_SHOWN]
    figure, axes = canvas.sheet(title, names, "the entry, in std around its mean", height=0.85)
    for index, ax in enumerate(axes):
        value = record.arrays["seen"][:, index]
        value = (value - value.mean()) / max(value.std(), 1e-12)
        for name, (colour, label) in PARTS.items():
            at = _binned(value, record.arrays[name][:, index])
            ax.plot(*at, "o-", color=colour, markersize=3.5, linewidth=1.6, label=label)
        ax.vlines(value, 0, 0.045, transform=ax.get_xaxis_transform(), color=INK, alpha=0.3, linewidth=0.7)
        ax.set_ylim(bottom=0, auto=True)
    axes[0].set_xlim(-_REACH - 0.2, _REACH + 0.2)
    caption = "Ticks are held-out transitions. More data reduce the epistemic part alone, most where it is large."
    yield Picture.drawn("uncertainty", figure, caption)


def _one_and_far(
    record: ModelRecord, title: str, xlabel: str, *, height: float
) -> tuple[Figure, Iterator[tuple[Axes, str]]]:
    """A sheet of two panels, each with the name of its probability integral transforms."""
    names = ["one step ahead", f"{record.scores['before']['rollout']['steps'][-1]} steps ahead"]
    figure, axes = canvas.sheet(title, names, xlabel, height=height)
    return figure, zip(axes, ("pit_one", "pit_far"), strict=True)


def _by_step(record: ModelRecord, title: str, names: list[str], **layout: Any) -> tuple[Figure, list[Axes], range]:
    """A sheet of panels over the steps ahead, and these steps."""
    figure, axes = canvas.sheet(title, names, "steps ahead", **layout)
    last = len(record.arrays["coverage_before"])
    axes[0].set_xlim(0 if last > 1 else 0.5, last + 0.5)
    return figure, axes, range(1, last + 1)


def _binned(value: Float[np.ndarray, "b"], std: Float[np.ndarray, "b"]) -> Float[np.ndarray, "2 k"]:
    """Mean value and root mean variance in intervals of equal width that hold a transition with a finite std."""
    value, std = value[np.isfinite(std)], std[np.isfinite(std)].astype(float)
    piece = np.digitize(value, np.linspace(-_REACH, _REACH, _PIECES + 1))
    groups = [rows for rows in (piece == index for index in range(1, _PIECES + 1)) if rows.any()]
    return np.array([[value[rows].mean(), np.sqrt(np.mean(std[rows] ** 2))] for rows in groups]).reshape(-1, 2).T
