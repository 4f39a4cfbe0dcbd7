"""`handful train`: learn a task into a run folder, watched, and safe against crashes; or several seeds side by side."""

import sys
from pathlib import Path
from typing import Any

from handful.agents.options.filled import check_least, flag
from handful.cli import processes, runtime
from handful.cli.configuration import built, words_of
from handful.cli.folders import created, resumed
from handful.cli.options import check_seed
from handful.cli.stopping import INTERRUPTED, Stop
from handful.cli.train_options import given_of
from handful.errors import InputError
from handful.reports import run_report
from handful.reports.comparison import write_comparison
from handful.training.machine import CompileClock
from handful.training.progress import observer_for
from handful.training.run import GroupFolder, RunFolder
from handful.training.session import Session, train
from handful.training.system import Simulated

OWN = "train path/to/your_env.py:Env"


def run(options: Any) -> int:
    """Train, watched, into a run folder that ends with a report."""
    with Stop() as stop:
        clock = CompileClock()
        _check(options)
        folder, config, seeds = created(options) if options.resume is None else resumed(options.resume, options.trials)
        try:
            _learn(folder, config, seeds, clock=clock, stop=stop)
        except KeyboardInterrupt:
            done, all_ = sum(folder.member(seed).done for seed in seeds), len(seeds) * (config["trials"] + 1)
            sys.stdout.write(
                f"Stopped. {done} of {all_} {words_of(config).unit}s are saved; continue with: "
                f"handful train --resume {folder.path}\n"
            )
            return INTERRUPTED
        first = folder.member(seeds[0]).path
        further = f"report {first}"
        if isinstance(folder, GroupFolder):
            page = write_comparison([folder.path], folder.path / "compare")
            sys.stdout.write(f"Run folders: {first} ...\nComparison:  {page}\n")
            further = f"compare {folder.path} ANOTHER_RUN"
        sys.stdout.write(runtime.next_steps(f"evaluate {first}", further, OWN))
    return 0


def _check(options: Any) -> None:
    """Raises `InputError` where options are wrong by themselves."""
    if (options.task is None) == (options.resume is None):
        raise InputError("name a task, or a run folder with --resume (and not both); `handful tasks` lists the tasks")
    if options.trials is not None and options.trials < 0:
        raise InputError(f"--trials must not be negative, got {options.trials}")
    check_least(options, "refit_every")
    if options.seed is not None:
        check_seed(options.seed)
    usual, own = type(options)(), getattr(options, "own", None)
    names = [name for name in given_of(options) if name not in {"task", "trials", "resume", "own", "agent"}]
    given = ["agent"] * (options.agent != usual.agent) + list(given_of(own)) + names
    if options.resume is not None and given:
        raise InputError(
            f"a run goes on with its own options, only --trials can be raised; leave out {', '.join(map(flag, given))}"
        )


def _learn(
    folder: RunFolder | GroupFolder, config: dict[str, Any], seeds: list[int], *, clock: CompileClock, stop: Stop
) -> None:
    """Runs the stages that are left: in one process, or for several seeds on the host, in a process each."""
    system, agent = built({**config, "seed": seeds[0]})
    try:
        stop.check()
        apart = "seeds" in config and not isinstance(system, Simulated)
        if not apart:
            each = {seed: {**config, "seed": seed} for seed in seeds}
            folders = {seed: folder.member(seed).kept_with(own) for seed, own in each.items()}
            sessions = {seed: Session(folders[seed], system, agent, own) for seed, own in each.items()}
            _learn_together(folder.path, sessions, clock=clock, stop=stop)
    finally:
        system.close()
    if apart:
        _learn_apart(folder, config, seeds, stop)


def _learn_together(path: Path, sessions: dict[int, Session], *, clock: CompileClock, stop: Stop) -> None:
    """Train all seeds in this process; write their summaries and reports."""
    any_, alone = next(iter(sessions.values())), len(sessions) == 1
    system = any_.system
    title = Path(any_.config["task"]).name + ("" if alone else f", {len(sessions)} seeds side by side")
    stages, words = any_.config["trials"], words_of(any_.config)
    with observer_for(path, title, stages, any_.loop.schedule.steps, words=words, check=stop.check) as observer:
        notes = system.notes
        for note in notes:
            observer.say(note)
        try:
            train(sessions, observer)
            stop.check()
        except KeyboardInterrupt:
            for session in sessions.values():
                session.summarise(clock, interrupted=True)
            raise
        for note in system.notes[len(notes) :]:
            observer.say(note)
        observer.say("Drawing the report." if alone else "Drawing the reports.")
        for session in sessions.values():
            stop.check()
            if not session.folder.summarises(stages):
                session.summarise(clock)
            run_report.write_report(session.folder)
        if alone:
            observer.say(f"Run folder: {path}\nReport:     {any_.folder.report_path}")


def _learn_apart(folder: RunFolder | GroupFolder, config: dict[str, Any], seeds: list[int], stop: Stop) -> None:
    """Train each seed in a process of its own."""
    stages, commands = config["trials"], {}
    alone = {name: value for name, value in config.items() if name != "seeds"}
    for seed in seeds:
        own = folder.member(seed).kept_with({**alone, "seed": seed})
        if not (own.summarises(stages) and own.report_path.exists()):
            commands[seed] = ["train", "--resume", str(own.path), "--trials", str(stages)]
    name, words = Path(config["task"]).name, words_of(config)
    sys.stdout.write(
        f"{name}, {len(seeds)} seeds, {len(runtime.cores())} at a time: {stages} {words.unit}s after {words.first}, "
        f"into {folder.path}\n"
    )
    processes.run_apart(commands, stop)
