"""`handful compare`: learning curves of many runs, side by side, with every seed."""

import dataclasses
import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare runs: learning curves, means with intervals, what it took to reach a return."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """run folders, folders that --seeds made, and folders with seed-N.csv and seed-N.json"""
    threshold: float | None = None
    """the return to reach (what counts as solved, where that is laid down)"""
    lecture: bool = False
    """all methods on each task in one picture, by kind: return against samples and against wall-clock"""
    out: Path | None = None
    """where the page, figures and tables go (compare-TIME or lecture-TIME if left out)"""


def run(options: Options) -> None:
    """Read, compare, and print where."""
    import math

    from handful.errors import InputError
    from handful.evaluation.comparison import write_comparison
    from handful.evaluation.lecture import write_lecture

    if not options.runs:
        raise InputError("name the runs to compare: folders that `handful train` made")
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise InputError(f"--threshold must be finite, got {options.threshold}")
    stamp = dt.datetime.now(tz=dt.UTC).astimezone().strftime("%Y%m%d-%H%M%S")
    write, name = (write_lecture, "lecture") if options.lecture else (write_comparison, "compare")
    page = write(options.runs, options.out or Path(f"{name}-{stamp}"), options.threshold)
    sys.stdout.write(f"{page}\n")
