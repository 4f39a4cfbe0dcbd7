"""The comparison of runs: figures, tables for other programs, and one page that holds it all."""

import csv
import io
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful.evaluation import comparison_figures, page
from handful.evaluation.facts import grouped, number
from handful.evaluation.learning_curves import Estimate
from handful.evaluation.page import Picture, Section
from handful.evaluation.run_groups import Group, read_groups, solved_return
from handful.evaluation.standing import Standing, remarks
from handful.training.files import write_whole


def write_comparison(paths: Sequence[Path], out: Path, threshold: float | None = None) -> Path:
    """Compare the runs below `paths`: write `figures/*.png`, `curves.csv`, `summary.csv` and, last, `compare.html`.

    The threshold is the return from which on the task counts as solved, where that is laid down and none is given.

    Returns the page's path. Raises `InputError` where there is nothing to compare, or `out` cannot be written.
    """
    groups, notes = read_groups(paths)
    task = groups[0].runs[0].task
    threshold = solved_return(task) if threshold is None else threshold
    steps = min(float(curve.env_steps[-1]) for group in groups for curve in group.curves)
    standings = [Standing.of(group, steps, threshold) for group in groups]
    sections = [
        _curves(groups, threshold),
        _end(standings, steps),
        *([] if threshold is None else [_reached(standings, threshold)]),
        _seeds(standings, threshold),
        _again(groups, paths, threshold),
    ]
    for picture in sections[0].pictures:
        write_whole(out / picture.file, picture.data)
    write_whole(out / "curves.csv", _long(groups))
    write_whole(out / "summary.csv", _summary(standings, threshold))
    runs = sum(len(group.runs) for group in groups)
    whole = page.page(
        Path(task).name,
        f"{runs} run{'s' if runs != 1 else ''}" + (f" in {len(groups)} groups" if len(groups) != 1 else ""),
        verdict(standings, steps, threshold),
        page.tiles([_tile(standing) for standing in standings]) + page.notes([*notes, *remarks(standings, threshold)]),
        sections,
    )
    write_whole(out / "compare.html", whole)
    return out / "compare.html"


def verdict(standings: Sequence[Standing], steps: float, threshold: float | None) -> str:
    """What came of it, in a sentence or two."""
    best, *others = sorted(standings, key=lambda standing: np.nan_to_num(-standing.at_common.middle, nan=np.inf))
    after = f"after {grouped(int(steps))} steps"
    if not others:
        said = f"Over {_seeds_of(best)} the mean return {after} is {_estimate(best.at_common)}."
        if threshold is None:
            return said
        return f"{said} A return of {number(threshold)} was reached by {best.reached_count} of {_seeds_of(best)}."
    said = f"The highest mean return {after}, which all have taken, is {_estimate(best.at_common)}: {best.group.label}."
    next_ = others[0]
    said += f" The next is {_estimate(next_.at_common)}: {next_.group.label}."
    overlap = next_.at_common.high >= best.at_common.low
    return said + (" Their intervals overlap." if overlap else "")


def _curves(groups: Sequence[Group], threshold: float | None) -> Section:
    marks = "Thin lines are seeds, thick lines what stands above each panel, shades its 95% interval."
    if threshold is not None:
        marks += " The dashed line is the return to reach."
    pictures = [
        Picture.drawn("against-steps", comparison_figures.curves(groups, "env_steps", threshold), marks),
        Picture.drawn(
            "against-time",
            comparison_figures.curves(groups, "wall_s", threshold),
            "The same against the time that training took, compiling included. Between the ends of its trials, and "
            "after the last, a seed counts with its last return.",
        ),
    ]
    return Section("Learning curves", pictures=pictures)


def _end(standings: Sequence[Standing], steps: float) -> Section:
    early = len(standings) > 1 and any(standing.steps.max() > steps for standing in standings)
    columns = ["", "seeds", "trials", "steps", "mean", "interquartile mean", "std", "least and most"]
    columns += [f"mean after {grouped(int(steps))} steps"] * early
    rows = []
    for standing in standings:
        counts = [str(standing.seeds), str(standing.group.trials - 1), span(standing.steps)]
        row = [standing.group.label, *counts, _estimate(standing.mean), _estimate(standing.iqm)]
        row += [number(standing.std), f"{number(standing.returns.min())}, {number(standing.returns.max())}"]
        rows.append(row + [_estimate(standing.at_common)] * early)
    text = (
        "The return of the last trial that all seeds of a group have. Trials are those after the random one. In "
        "brackets: 95% intervals, from drawing the seeds anew."
    )
    return Section("In the end", text, below=page.table(columns, rows))


def _reached(standings: Sequence[Standing], threshold: float) -> Section:
    columns = ["", "seeds that did", "steps: median", "least", "most", "wall-clock [s]: median", "least", "most"]
    rows = [
        [
            standing.group.label,
            f"{standing.reached_count} of {standing.seeds}",
            *(
                place(value)
                for reached in (standing.reached_steps, standing.reached_wall)
                for value in _spread(reached)
            ),
        ]
        for standing in standings
    ]
    text = (
        f"Up to the end of the first trial with a return of {number(threshold)} or more. Seeds that never had one "
        "count as never, in the median too."
    )
    return Section(f"What it took to reach {number(threshold)}", text, below=page.table(columns, rows))


def _seeds(standings: Sequence[Standing], threshold: float | None) -> Section:
    columns = ["", "seed", "trials", "steps", "wall-clock [s]", "last return", "best return"]
    columns += [] if threshold is None else [f"steps to {number(threshold)}"]
    rows = []
    for standing in standings:
        for run, reached in zip(standing.group.runs, standing.reached_steps, strict=True):
            curve = run.curve
            values = (curve.wall_s[-1], curve.returns[-1], curve.returns.max())
            counts = [str(curve.seed), str(len(curve) - 1), grouped(int(curve.env_steps[-1]))]
            row = [standing.group.label, *counts, *map(number, values)]
            rows.append(row + ([] if threshold is None else [place(reached)]))
    return Section("Every seed", "To the end of each.", below=page.table(columns, rows))


def _again(groups: Sequence[Group], paths: Sequence[Path], threshold: float | None) -> Section:
    line = ["handful", "compare", *map(str, paths), *([] if threshold is None else ["--threshold", f"{threshold:g}"])]
    where = {
        str(run.path): f"{group.label}, seed {run.curve.seed}, on {run.device or 'a device that is not recorded'}"
        for group in groups
        for run in group.runs
    }
    text = "curves.csv holds every trial of every seed, summary.csv the tables of this page, both with all digits."
    return Section("To repeat this", text, below=page.code(shlex.join(line)) + page.details("runs", page.pairs(where)))


def _long(groups: Sequence[Group]) -> str:
    rows = [
        (group.label, run.curve.seed, trial, int(steps), float(wall), float(value))
        for group in groups
        for run in group.runs
        for trial, (steps, wall, value) in enumerate(
            zip(run.curve.env_steps, run.curve.wall_s, run.curve.returns, strict=True)
        )
    ]
    return csv_text(["group", "seed", "trial", "env_steps", "wall_s", "return"], rows)


def _summary(standings: Sequence[Standing], threshold: float | None) -> str:
    rows = [standing.as_row(threshold) for standing in standings]
    return csv_text(list(rows[0]), [list(row.values()) for row in rows])


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table for other programs."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _tile(standing: Standing) -> tuple[str, str, str]:
    return (
        standing.group.label,
        number(standing.mean.middle),
        f"mean of {_seeds_of(standing)}, {span(standing.steps)} steps",
    )


def _seeds_of(standing: Standing) -> str:
    return f"{standing.seeds} seed{'s' if standing.seeds != 1 else ''}"


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.middle):
        return "none yet"
    if math.isnan(estimate.low):
        return number(estimate.middle)
    return f"{number(estimate.middle)} [{number(estimate.low)}, {number(estimate.high)}]"


def span(counts: np.ndarray) -> str:
    """From the least to the most."""
    least, most = int(counts.min()), int(counts.max())
    return grouped(least) if least == most else f"{grouped(least)} to {grouped(most)}"


def _spread(reached: Sequence[float]) -> tuple[float, float, float]:
    return float(np.median(reached)), min(reached), max(reached)


def place(value: float) -> str:
    """Where a return was reached."""
    return "never" if math.isinf(value) else number(value) if value < 1000 else grouped(round(value))
