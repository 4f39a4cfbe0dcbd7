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
HELD = "Wall-clock includes compilation. Between trials and after the last, a seed counts with its last return."
FINAL = "Of the last trial that all seeds of a group have, not counting the random one; [95% bootstrap intervals]."
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what begins a formula in spreadsheets, or is skipped before one
FILES = "curves.csv holds every {} of every seed, {}.csv the tables of this page, both with all digits."


def write_comparison(paths: Sequence[Path], out: Path, threshold: float | None = None) -> Path:
    """Compare the runs below `paths`: write `curves.csv`, `summary.csv`, `figures/*.png` and, last, `compare.html`.

    `threshold` is the return to reach; the task's solved threshold, if one is defined, where none is given.

    Returns the page's path. Raises `InputError` where there is nothing to compare, or `out` cannot be written.
    """
    groups, notes = read_groups(paths, threshold)
    threshold = groups[0].threshold
    common = common_steps(groups)
    write_csv(out / "curves.csv", [{"group": group.label} | row for group in groups for row in curve_rows(group)])
    write_csv(out / "summary.csv", [{"group": group.label} | group.as_row(common) for group in groups])
    runs, line = sum(group.seeds for group in groups), " The dashed line is the return to reach."
    pictures = [
        Picture.drawn("against-steps", curves(groups, "env_steps"), MARKS + line * (threshold is not None), columns=1),
        Picture.drawn("against-time", curves(groups, "wall_s"), HELD, columns=1),
    ]
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
            ("Learning curves", pictures),
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
    if leader.threshold is not None:
        text += f" {leader.reached_count} of them reached a return of {number(leader.threshold)}."
    return text


def common_steps(groups: Sequence[SeedGroup]) -> float:
    """Steps that every seed of every group has taken."""
    return min(float(group.steps.min()) for group in groups)


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a table for other programs, with a column for each name that any row has."""
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: inert(value) for name, value in row.items()} for row in rows)
    write_whole(path, text.getvalue().encode(errors="replace"))


def inert(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: a text that begins like one gets an apostrophe before it.

    >>> inert("=1+1"), inert("@home"), inert(-2.5), inert("gp")
    ("'=1+1", "'@home", -2.5, 'gp')
    """
    if not isinstance(value, str):
        return value
    mark = "'" * value.startswith(FORMULA)
    return (mark + value).replace("\r", " ")  # which readers of CSV take for a new row


def curve_rows(group: SeedGroup) -> Iterator[dict[str, Any]]:
    """Every trial of every seed."""
    for curve in (run.curve for run in group.runs):
        columns = zip(curve.env_steps.astype(int), curve.wall_s, curve.returns, strict=True)
        for trial, (steps, wall, value) in enumerate(columns):
            yield {"seed": curve.seed, "trial": trial, "env_steps": steps, "wall_s": wall, "return": value}


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


def _final(groups: Sequence[SeedGroup], common: float) -> list[Block]:
    rows = []
    for group in groups:
        row = {"": group.label, "seeds": str(group.seeds), "trials": str(group.trials - 1), "steps": span(group.steps)}
        row |= {"mean": _estimate(group.mean), "interquartile mean": _estimate(group.iqm), "std": number(group.std)}
        row["least and most"] = f"{number(group.returns.min())}, {number(group.returns.max())}"
        if len(groups) > 1 and any(other.steps.max() > common for other in groups):
            row[f"mean after {grouped(int(common))} steps"] = _estimate(group.after(common))
        rows.append(row)
    return [page.paragraph(FINAL), page.records(rows)]


def _reached(groups: Sequence[SeedGroup], threshold: float) -> tuple[str, list[Block]]:
    text = "Up to the end of the first trial with such a return. Seeds without one count as never, in the median too."
    header = ["", "seeds", "steps: median", "fewest", "most", "wall-clock [s]: median", "least [s]", "most [s]"]
    rows = [
        [group.label, f"{group.reached_count} of {group.seeds}"]
        + [reached_at(of(reached)) for reached in group.reached.values() for of in (np.median, np.min, np.max)]
        for group in groups
    ]
    return f"Steps and time to a return of {number(threshold)}", [page.paragraph(text), page.table(header, rows)]


def _seeds(groups: Sequence[SeedGroup], threshold: float | None) -> list[Block]:
    rows = []
    for group in groups:
        for curve, reached in zip((run.curve for run in group.runs), group.reached["env_steps"], strict=True):
            row = {"": group.label, "seed": str(curve.seed), "trials": str(len(curve) - 1)}
            row |= {"steps": grouped(int(curve.env_steps[-1])), "wall-clock [s]": number(curve.wall_s[-1])}
            row |= {"last return": number(curve.returns[-1]), "best return": number(curve.returns.max())}
            if threshold is not None:
                row[f"steps to {number(threshold)}"] = reached_at(reached)
            rows.append(row)
    return [page.paragraph("Each to its own last trial."), page.records(rows)]


def _reproduction(groups: Sequence[SeedGroup], words: str) -> list[Block]:
    runs = {
        str(run.path): f"{group.label}, seed {run.curve.seed}, on {run.device or 'a device that is not recorded'}"
        for group in groups
        for run in group.runs
    }
    files = page.paragraph(FILES.format("trial", "summary"))
    return [files, page.code(words), page.details("runs", page.pairs(runs))]


def _seeds_of(group: SeedGroup) -> str:
    return count(group.seeds, "seed")


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.middle):
        return "none yet"
    if math.isnan(estimate.low):
        return number(estimate.middle)
    return f"{number(estimate.middle)} [{number(estimate.low)}, {number(estimate.high)}]"
