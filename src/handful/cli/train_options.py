"""Options of `handful train`: those of every run, and those of the agent that was named."""

import argparse
import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from handful.agents.catalogue import AGENTS, entry_of
from handful.agents.options.filled import flag
from handful.errors import InputError
from handful.training.files import read_json

NAMES = f"{', '.join(AGENTS)}, or path/to/file.py:NAME for an agent of your own"
INSTEAD = {"steps": "; give --trials instead"}  # what serves the same purpose in another agent


@dataclasses.dataclass(frozen=True)
class Run:
    """Learn a task into a run folder that ends with a report. Name the agent first: the other options are its own."""

    task: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="TASK", help_behavior_hint="")] = None
    """a name from `handful tasks`, gymnasium:ID, or path/to/file.py:NAME"""
    agent: Annotated[str, tyro.conf.arg(metavar="NAME", help=f"who learns: {NAMES}")] = "pets"
    trials: int | None = None
    """controlled trials after the random one, 8 if left out;
    for agents without a model, rounds of updates, as many as --steps makes if left out"""
    seed: int | None = None
    """all randomness comes from it (0 if left out)"""
    seeds: str | None = None
    """several seeds side by side, as in 0-9 or 0,2,5: a folder with a run folder for each, and their comparison"""
    float64: bool = False
    """double precision throughout: slower; a Gaussian process may then trust data with hardly any noise"""
    step_limit: float | None = None
    """seconds that a step of a system on the host may take; a longer one ends the run (no limit if left out)"""
    trust: bool = False
    """with --resume: run the code that the folder names, though it has been changed or was never run here"""
    out: Path | None = None
    """the run folder, with --seeds the folder of run folders (runs/TASK-TIME if left out)"""
    resume: Path | None = None
    """a folder to go on with: its own options hold, and --trials may raise the number.
    Learning rates that fall to zero then fall over all rounds"""


@dataclasses.dataclass(frozen=True)
class TrialWise(Run):
    """Learn a task, trial by trial, into a run folder that ends with a report."""

    refit_every: int | None = None
    """steps between fits of the model within a trial (once a trial if left out)"""


def options_for(words: Sequence[str]) -> type:
    """The dataclass of options that a command line is parsed into: the agent's own are its field `own`.

    Raises `InputError` where the agent is unknown, and where an option of another agent is given.
    """
    agent = _agent(words)
    entry = entry_of(agent)
    base = TrialWise if entry.kind == "trials" else Run
    own = Annotated[entry.options, tyro.conf.arg(name=agent if agent in AGENTS else "own")]
    options = dataclasses.make_dataclass(
        "Options", [("own", own, dataclasses.field(default_factory=entry.options))], bases=(base,), frozen=True
    )
    options.__doc__ = base.__doc__
    _refuse_foreign(words, agent, {field.name for cls in (base, entry.options) for field in dataclasses.fields(cls)})
    return options


def given_of(options: Any) -> dict[str, Any]:
    """The options of the agent that were given other values than usual."""
    usual = type(options)()
    return {name: value for name, value in vars(options).items() if value != getattr(usual, name)}


def _agent(words: Sequence[str]) -> str:
    """The agent that a command line names, that of the run to resume, or PETS."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("--agent", "--resume"):
        parser.add_argument(option, nargs="?")
    named, _ = parser.parse_known_args(words)
    config: dict[str, Any] = {}
    for name in ("config.json", "group.json") if named.resume else ():
        with contextlib.suppress(InputError):
            config |= read_json(Path(named.resume) / name, "")
    written = str(config.get("agent"))
    return named.agent or (written if written in AGENTS else "pets")


def _refuse_foreign(words: Sequence[str], agent: str, known: set[str]) -> None:
    of_agents = {name: {field.name for field in dataclasses.fields(entry.options)} for name, entry in AGENTS.items()}
    for word in words:
        name = word.partition("=")[0].removeprefix("--").removeprefix("no-").replace("-", "_")
        if not word.startswith("--") or name in known:
            continue
        by_trials = name == "refit_every"
        owners = [each for each in AGENTS if name in of_agents[each] or (by_trials and AGENTS[each].kind == "trials")]
        if owners:
            raise InputError(
                f"{flag(name)} is not an option of --agent {agent}, but of {', '.join(owners)}{INSTEAD.get(name, '')}"
            )
