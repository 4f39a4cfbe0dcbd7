"""The comparison of runs: learning curves with every seed, tables, and CSV files for other programs."""

import csv
import io
import math
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful.reports import page
from handful.reports.curve_figures import curves
from handful.reports.page import Block, Picture
from handful.reports.wording import count, grouped, number
from handful.scores.groups import SeedGroup, remarks
from handful.scores.learning_curves import Estimate
from handful.training.files import write_whole
from handful.training.run_groups import read_groups

MARKS = "Thin lines are seeds, thick lines the statistic named above each panel, shades its 95% interval."
HELD = (
    "The same against the wall-clock time of training, compilation included. Between the ends of its trials, and after "
    "the last, a seed counts with its last return."
)
FINAL = (
    "The return of the last trial that all seeds of a group have. Trials are those after the random one. In brackets: "
    "95% bootstrap intervals over seeds."
)
FILES = "curves.csv holds every {} of every seed, {}.csv the tables of this page, both with all digits."


def write_comparison(paths: Sequence[Path], out: Path, threshold: float | None = None) -> Path:
    """Compare the runs below `paths`: write `curves.csv`, `summary.csv`, `figures/*.png` and, last, `compare.html`.

    `threshold` is the return to reach; the task's solved threshold, if one is defined, where none is given.

    Returns the page's path. Raises `InputError` where there is nothing to compare, or `out` cannot be written.
    """
    groups, notes = read_groups(paths, threshold)
    threshold = groups[0].threshold
    common = common_steps(groups)
    write_csv(out / "curves.csv", [row for group in groups for row in curve_rows(group, group=group.label)])
    write_csv(out / "summary.csv", [group.as_row(common) for group in groups])
    runs = sum(group.seeds for group in groups)
    page.write(
        out / "compare.html",
        Path(groups[0].task).name,
        count(runs, "run") + (f" in {len(groups)} groups" if len(groups) != 1 else ""),
        verdict(groups, common),
        tiles=[
            (group.label, number(group.mean.middle), f"mean of {_seeds_of(group)}, {span(group.steps)} steps")
            for group in groups
        ],
        notes=[*notes, *remarks(groups)],
        sections=[
            ("Learning curves", _curves(groups)),
            ("Final returns", _final(groups, common)),
            *([] if threshold is None else [_reached(groups, threshold)]),
            ("Every seed", _seeds(groups, threshold)),
            ("Reproduce this comparison", _reproduction(groups, command(paths, threshold))),
        ],
    )
    return out / "compare.html"


def verdict(groups: Sequence[SeedGroup], common: float) -> str:
    """The best group after steps that all have taken, in a sentence or two."""
    means = [(group.after(common), group) for group in groups]
    (best, leader), *others = sorted(means, key=lambda one: np.nan_to_num(-one[0].middle, nan=np.inf))
    after = f"after {grouped(int(common))} steps"
    if others:
        second, follower = others[0]
        text = f"The highest mean return {after}, which all have taken, is {_estimate(best)}: {leader.label}."
        text += f" The next is {_estimate(second)}: {follower.label}."
        return text + (" Their intervals overlap." if second.high >= best.low else "")
    text = f"Over {_seeds_of(leader)} the mean return {after} is {_estimate(best)}."
    if leader.threshold is None:
        return text
    return (
        f"{text} A return of {number(leader.threshold)} was reached by {leader.reached_count} of {_seeds_of(leader)}."
    )


def common_steps(groups: Sequence[SeedGroup]) -> float:
    """Steps that every seed of every group has taken."""
    return min(float(group.steps.min()) for group in groups)


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a table for other programs, with a column for each name that any row has."""
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode(errors="replace"))


def curve_rows(group: SeedGroup, /, **facts: str) -> Iterator[dict[str, Any]]:
    """Every trial of every seed, after some facts."""
    for curve in (run.curve for run in group.runs):
        columns = zip(curve.env_steps.astype(int), curve.wall_s, curve.returns, strict=True)
        for trial, (steps, wall, value) in enumerate(columns):
            row = {"seed": curve.seed, "trial": trial, "env_steps": steps, "wall_s": wall, "return": value}
            yield facts | row


def command(paths: Sequence[Path], threshold: float | None, *options: str) -> str:
    """The command line that makes the same page."""
    wanted = () if threshold is None else ("--threshold", f"{threshold:g}")
    return shlex.join(["handful", "compare", *options, *map(str, paths), *wanted])


def span(counts: np.ndarray) -> str:
    """The least and the greatest of some counts."""
    least, most = int(counts.min()), int(counts.max())
    return grouped(least) if least == most else f"{grouped(least)} to {grouped(most)}"


def reached_at(value: float | np.floating) -> str:
    """The steps or seconds at which a return was reached."""
    return "never" if math.isinf(value) else number(float(value)) if value < 1000 else grouped(round(float(value)))


def _curves(groups: Sequence[SeedGroup]) -> list[Block]:
    line = "" if groups[0].threshold is None else " The dashed line is the return to reach."
    return [
        Picture.drawn("against-steps", curves(groups, "env_steps"), MARKS + line, columns=1),
        Picture.drawn("against-time", curves(groups, "wall_s"), HELD, columns=1),
    ]


def _final(groups: Sequence[SeedGroup], common: float) -> list[Block]:
    cells: page.Cells = {
        "": lambda group: group.label,
        "seeds": lambda group: str(group.seeds),
        "trials": lambda group: str(group.trials - 1),
        "steps": lambda group: span(group.steps),
        "mean": lambda group: _estimate(group.mean),
        "interquartile mean": lambda group: _estimate(group.iqm),
        "std": lambda group: number(group.std),
        "least and most": lambda group: f"{number(group.returns.min())}, {number(group.returns.max())}",
    }
    if len(groups) > 1 and any(group.steps.max() > common for group in groups):
        cells[f"mean after {grouped(int(common))} steps"] = lambda group: _estimate(group.after(common))
    return [page.paragraph(FINAL), page.columns(groups, cells)]


def _reached(groups: Sequence[SeedGroup], threshold: float) -> tuple[str, list[Block]]:
    text = (
        f"Up to the end of the first trial with a return of {number(threshold)} or more. Seeds without one count as "
        "never, in the median too."
    )
    header = ["", "seeds", "steps: median", "fewest", "most", "wall-clock [s]: median", "least [s]", "most [s]"]
    rows = [
        [group.label, f"{group.reached_count} of {group.seeds}"]
        + [reached_at(of(reached)) for reached in group.reached.values() for of in (np.median, np.min, np.max)]
        for group in groups
    ]
    return f"Steps and time to a return of {number(threshold)}", [page.paragraph(text), page.table(header, rows)]


def _seeds(groups: Sequence[SeedGroup], threshold: float | None) -> list[Block]:
    cells: page.Cells = {
        "": lambda seed: seed[0],
        "seed": lambda seed: str(seed[1].seed),
        "trials": lambda seed: str(len(seed[1]) - 1),
        "steps": lambda seed: grouped(int(seed[1].env_steps[-1])),
        "wall-clock [s]": lambda seed: number(seed[1].wall_s[-1]),
        "last return": lambda seed: number(seed[1].returns[-1]),
        "best return": lambda seed: number(seed[1].returns.max()),
    }
    if threshold is not None:
        cells[f"steps to {number(threshold)}"] = lambda seed: reached_at(seed[2])
    seeds = [
        (group.label, run.curve, reached)
        for group in groups
        for run, reached in zip(group.runs, group.reached["env_steps"], strict=True)
    ]
    return [page.paragraph("Each to its own last trial."), page.columns(seeds, cells)]


def _reproduction(groups: Sequence[SeedGroup], words: str) -> list[Block]:
    runs = {
        str(run.path): f"{group.label}, seed {run.curve.seed}, on {run.device or 'a device that is not recorded'}"
        for group in groups
        for run in group.runs
    }
    text = FILES.format("trial", "summary")
    return [page.paragraph(text), page.code(words), page.details("runs", page.pairs(runs))]


def _seeds_of(group: SeedGroup) -> str:
    return count(group.seeds, "seed")


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.middle):
        return "none yet"
    if math.isnan(estimate.low):
        return number(estimate.middle)
    return f"{number(estimate.middle)} [{number(estimate.low)}, {number(estimate.high)}]"
