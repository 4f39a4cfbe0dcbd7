"""`handful report`: the report again, from what the run folder holds."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class Options:
    """Make report.html again from a run folder or a model folder."""

    run: Annotated[Path, tyro.conf.Positional]
    """a folder that `handful train` or `handful fit` made"""


def run(options: Options) -> None:
    """Draw and print where."""
    from handful.cli import runtime

    runtime.start()
    from handful.evaluation.model_folder import ModelFolder
    from handful.evaluation.model_report import write_model_report
    from handful.evaluation.report import write_report
    from handful.training.run import RunFolder

    if ModelFolder.is_one(options.run):
        folder = ModelFolder(options.run)
        write_model_report(folder)
    else:
        folder = RunFolder.open(options.run)
        write_report(folder)
    sys.stdout.write(f"{folder.report_path}\n")
