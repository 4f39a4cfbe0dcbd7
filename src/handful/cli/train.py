"""`handful train`: learn a task into a run folder, watched, and safe against crashes; or several seeds side by side."""

import contextlib
from pathlib import Path
from typing import Any

from handful.cli import processes, runtime
from handful.cli.configuration import built, trusted_now, words_of
from handful.cli.folders import created, resumed
from handful.cli.stopping import INTERRUPTED, Stop
from handful.reports import run_report
from handful.reports.comparison import write_comparison
from handful.training.lock import locked
from handful.training.machine import CompileClock
from handful.training.progress import observer_for
from handful.training.run import GroupFolder, RunFolder
from handful.training.session import Session, train
from handful.training.system import Simulated, System

OWN = "train path/to/your_env.py:Env"


def run(options: Any) -> int:
    """Train, watched, into a run folder that ends with a report."""
    with Stop() as stop, contextlib.ExitStack() as held:
        clock = CompileClock()
        processes.end_with_parent(stop)
        if options.resume is None:
            folder, config, seeds = created(options)
            held.enter_context(locked(folder.path))
        else:
            held.enter_context(locked(options.resume))  # before it is read
            folder, config, seeds = resumed(options.resume, options.trials)
            config = trusted_now(config) if options.trust and "files" in config else config
        try:
            _learn(folder, config, seeds, clock=clock, stop=stop, trusted=options.trust)
        except KeyboardInterrupt as asked:
            done, all_ = sum(folder.member(seed).done for seed in seeds), len(seeds) * (config["trials"] + 1)
            runtime.say(
                f"Stopped. {done} of {all_} {words_of(config).unit}s are saved; continue with: "
                f"handful train --resume {folder.path}\n"
            )
            return getattr(asked, "code", INTERRUPTED)
        first = folder.member(seeds[0]).path
        further = f"report {first}"
        if isinstance(folder, GroupFolder):
            page = write_comparison([folder.path], folder.path / "compare")
            runtime.say(f"Run folders: {first} ...\nComparison:  {page}\n")
            further = f"compare {folder.path} ANOTHER_RUN"
        runtime.say(runtime.next_steps(f"evaluate {first}", further, OWN))
    return 0


def _learn(
    folder: RunFolder | GroupFolder, config: dict[str, Any], seeds: list[int],
    *, clock: CompileClock, stop: Stop, trusted: bool,
) -> None:  # fmt: skip
    """Runs the stages that are left: in one process, or for several seeds on the host, in a process each."""
    system, agent = built({**config, "seed": seeds[0]}, folder.path, trusted=trusted)
    stop.closing.append(system.close)
    with contextlib.ExitStack() as held:
        held.callback(_closed, system)
        stop.check()
        apart = "seeds" in config and not isinstance(system, Simulated)
        if not apart:
            each = {seed: {**config, "seed": seed} for seed in seeds}
            folders = {seed: folder.member(seed).kept_with(own) for seed, own in each.items()}
            for member in folders.values():
                if member.path != folder.path:
                    held.enter_context(locked(member.path))
            sessions = {seed: Session(folders[seed], system, agent, own) for seed, own in each.items()}
            _learn_together(folder.path, sessions, clock=clock, stop=stop)
    if apart:
        _learn_apart(folder, config, seeds, stop, trusted=trusted)


def _closed(system: System) -> None:
    """Close the system, and say what it had to say to that."""
    notes = len(system.notes)
    system.close()
    for note in system.notes[notes:]:
        runtime.say(f"{note}\n")


def _learn_together(path: Path, sessions: dict[int, Session], *, clock: CompileClock, stop: Stop) -> None:
    """Train all seeds in this process; write their summaries and reports."""
    any_, alone = next(iter(sessions.values())), len(sessions) == 1
    system = any_.system
    title = Path(any_.config["task"]).name + ("" if alone else f", {len(sessions)} seeds side by side")
    stages, words = any_.config["trials"], words_of(any_.config)
    with observer_for(path, title, stages, any_.loop.schedule.steps, words=words, check=stop.check) as observer:
        notes = system.notes
        for note in dict.fromkeys([*notes, *(note for session in sessions.values() for note in session.notes)]):
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


def _learn_apart(
    folder: RunFolder | GroupFolder, config: dict[str, Any], seeds: list[int], stop: Stop, *, trusted: bool
) -> None:
    """Train each seed in a process of its own."""
    stages, commands = config["trials"], {}
    alone = {name: value for name, value in config.items() if name != "seeds"}
    for seed in seeds:
        own = folder.member(seed).kept_with({**alone, "seed": seed})
        if not (own.summarises(stages) and own.report_path.exists()):
            commands[seed] = ["train", "--resume", str(own.path), "--trials", str(stages), *["--trust"] * trusted]
    name, words = Path(config["task"]).name, words_of(config)
    runtime.say(
        f"{name}, {len(seeds)} seeds, {len(runtime.cores())} at a time: {stages} {words.unit}s after {words.first}, "
        f"into {folder.path}\n"
    )
    processes.run_apart(commands, stop)
