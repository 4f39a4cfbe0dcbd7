"""`handful report` and `handful compare`: pages on runs that were made before."""

import math
import sys
from pathlib import Path

from handful.cli.options import Compare, Report, stamp
from handful.errors import InputError
from handful.reports.comparison import write_comparison
from handful.reports.lecture import write_lecture
from handful.reports.model_report import write_model_report
from handful.reports.run_report import write_report
from handful.training.model_fit import ModelFolder
from handful.training.run import RunFolder


def report(options: Report) -> None:
    """Rewrite the report of a run folder or a model folder, and print its path."""
    if ModelFolder.is_one(options.run):
        folder = ModelFolder(options.run)
        write_model_report(folder)
    else:
        folder = RunFolder.open(options.run)
        write_report(folder)
    sys.stdout.write(f"{folder.report_path}\n")


def compare(options: Compare) -> None:
    """Write learning curves of many runs, side by side, with every seed, and print the path of the page."""
    if not options.runs:
        raise InputError("name the runs to compare: folders that `handful train` made")
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise InputError(f"--threshold must be finite, got {options.threshold}")
    write, name = (write_lecture, "lecture") if options.lecture else (write_comparison, "compare")
    page = write(options.runs, options.out or Path(f"{name}-{stamp()}"), options.threshold)
    sys.stdout.write(f"{page}\n")
