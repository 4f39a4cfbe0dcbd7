"""What the optimiser of a policy told of itself, round by round."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from handful.evaluation import canvas
from handful.evaluation.canvas import HAPPENED
from handful.evaluation.record import Record

PREFIX = "told_"  # of arrays in the record of a round, one entry an update
STEPS = "steps of interaction"

# in the order of reading: what the panel is called, and what a reader should know of it
KNOWN = {
    "kl": ("KL divergence of an update [nats]", "how far an update moved the policy"),
    "beta": ("weight of the KL penalty", "it rises where updates go too far"),
    "accepted": ("steps accepted", "the share of line searches that found a better policy"),
    "entropy": ("entropy of the policy [nats]", "how much it explores"),
    "epsilon": ("share of random actions", "how much it explores"),
    "rate": ("learning rate", "how far a step goes"),
    "trained": ("share of updates that trained", "below 1 while the replay fills"),
    "replay": ("steps in the replay", "what is learned from"),
    "pairs": ("pairs of cell and action met", "what the model in a table holds"),
    "loss": ("loss", "how far values are from their targets"),
    "td_error": ("temporal-difference error", "how far values are from their targets"),
    "value": ("value", "what the learned values promise; far above all returns, they have run away"),
    "explained": ("variance explained by the value", "1 is a perfect value, 0 no better than a constant"),
}


def told(record: Record) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps of interaction and the mean over the updates of a round, for whatever was told, in the order of reading."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in record.rows:
        for name, values in record.trials.get(row.trial, {}).items():
            if name.startswith(PREFIX) and np.isfinite(values).any():
                found.setdefault(name.removeprefix(PREFIX), []).append((row.env_steps, float(np.nanmean(values))))
    order = [*(name for name in KNOWN if name in found), *(name for name in found if name not in KNOWN)]
    return {name: (np.array([s for s, _ in found[name]]), np.array([v for _, v in found[name]])) for name in order}


def learning(record: Record) -> Figure:
    """A panel for each of `told`."""
    values = told(record)
    titles = [KNOWN.get(name, (name,))[0] for name in values]
    figure, axes = canvas.sheet("What the optimiser told", titles, STEPS, height=0.78, legend_rows=0)
    for ax, (steps, means) in zip(axes, values.values(), strict=True):
        ax.plot(steps, means, "o-", color=HAPPENED, markersize=3, linewidth=1.5)
        ax.set_ylim(canvas.limits(means))
        count_steps(ax, record)
    return figure


def caption(record: Record) -> str:
    """What the panels mean."""
    meant = [f"{KNOWN[name][0].split(' [')[0]}: {KNOWN[name][1]}" for name in told(record) if name in KNOWN]
    told_ = "; ".join(meant)
    return f"{told_[0].upper()}{told_[1:]}." if meant else ""


def count_steps(ax: Axes, record: Record) -> None:
    """An axis of interaction."""
    last = max(record.last.env_steps, 1)
    ax.set_xlim(-0.02 * last, 1.02 * last)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(_counted))


def _counted(steps: float | int | np.number, _: int | None = None) -> str:
    return f"{steps / 1e6:g}M" if abs(steps) >= 1e6 else f"{steps / 1e3:g}k" if abs(steps) >= 1e3 else f"{steps:g}"
