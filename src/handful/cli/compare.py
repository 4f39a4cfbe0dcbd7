"""`handful compare`: learning curves of many runs, side by side, with every seed."""

import math
import sys
from pathlib import Path

from handful.cli.options import Compare as Options
from handful.cli.options import stamp
from handful.errors import InputError
from handful.reports.comparison import write_comparison
from handful.reports.lecture import write_lecture


def run(options: Options) -> None:
    """Write the page and print its path."""
    if not options.runs:
        raise InputError("name the runs to compare: folders that `handful train` made")
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise InputError(f"--threshold must be finite, got {options.threshold}")
    write, name = (write_lecture, "lecture") if options.lecture else (write_comparison, "compare")
    page = write(options.runs, options.out or Path(f"{name}-{stamp()}"), options.threshold)
    sys.stdout.write(f"{page}\n")
