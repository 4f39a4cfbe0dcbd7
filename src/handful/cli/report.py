"""`handful report`: rewrite the report of a run folder or a model folder."""

import sys

from handful.cli.options import Report as Options
from handful.reports.model_report import write_model_report
from handful.reports.run_report import write_report
from handful.training.model_folder import ModelFolder
from handful.training.run import RunFolder


def run(options: Options) -> None:
    """Write the report and print its path."""
    if ModelFolder.is_one(options.run):
        folder = ModelFolder(options.run)
        write_model_report(folder)
    else:
        folder = RunFolder.open(options.run)
        write_report(folder)
    sys.stdout.write(f"{folder.report_path}\n")
