"""`handful check`: is an environment what its task says of it?"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from handful.evaluation.checks.finding import Finding


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare reward, termination, actions and step length of a task with what its environment does."""

    task: Annotated[str, tyro.conf.Positional]
    """a name from `handful tasks`, gymnasium:ID, or path/to/file.py:NAME"""
    trials: int = 3
    """random trials"""
    steps: int = 200
    """of a trial, at most"""
    seed: int = 0
    """of starts and actions"""
    json: Path | None = None
    """a file for the findings"""


def run(options: Options) -> int:
    """Run the trials and tell. Returns 1 where something is off."""
    from handful.cli import runtime
    from handful.errors import InputError

    for name in ("trials", "steps"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} must be at least 1, got {getattr(options, name)}")
    runtime.start()
    from handful.cli.train import check_seed
    from handful.envs.base import AbstractEnv
    from handful.envs.loading import load
    from handful.evaluation.checks import environment, trials

    check_seed(options.seed)
    env = load(options.task)
    sizes = {"trials": options.trials, "steps": options.steps}
    _announce(options, trials.most_steps(env.task, **sizes), len(trials.short_actions(env.task)))
    try:
        done = trials.run(env, **sizes, seed=options.seed)
        found = environment.findings(env, done)
    finally:
        if not isinstance(env, AbstractEnv):
            env.close()
    _present(found)
    off = sum(finding.verdict == "off" for finding in found)
    sys.stdout.write(f"{off} of {len(found)} checks are off; {done.steps} steps were run.\n")
    if options.json is not None:
        _write(options, options.json, found, done.steps)
    return 1 if off else 0


def _announce(options: Options, most: int, short: int) -> None:
    """What is about to be done to a system that may be real."""
    from handful.evaluation.checks.trials import SHORT

    sys.stdout.write(
        f"{options.task}: {options.trials} random trials, the first of them again, and {short} of {SHORT} steps: "
        f"{most} steps at most.\n"
    )
    sys.stdout.flush()


def _present(found: "list[Finding]") -> None:
    """The table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("check", "verdict", "found"):
        table.add_column(column, no_wrap=column != "found")
    for finding in found:
        table.add_row(finding.check, finding.verdict, escape(finding.found))  # names carry units in brackets
    Console(highlight=False).print(table)


def _write(options: Options, file: Path, found: "list[Finding]", steps: int) -> None:
    """The same as JSON."""
    from handful.training.files import write_whole
    from handful.version import __version__

    asked = {"handful": __version__, "task": options.task, "trials": options.trials, "seed": options.seed}
    findings = [dataclasses.asdict(finding) for finding in found]
    write_whole(file, json.dumps(asked | {"steps": steps, "findings": findings}, indent=2) + "\n")
