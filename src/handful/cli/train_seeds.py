"""`handful train --seeds`: several seeds side by side, each into a run folder of its own."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handful.cli.runtime import CompileClock
    from handful.cli.stopping import Stop
    from handful.cli.train import Options
    from handful.training.group import GroupFolder
    from handful.training.session import Session


def meant(options: "Options") -> bool:
    """Whether the options are about a group of seeds."""
    from handful.training.run import is_group

    return options.seeds is not None or (options.resume is not None and is_group(options.resume))


def run(options: "Options", *, clock: "CompileClock", stop: "Stop") -> int:
    """Train all seeds: in one compiled program on a pure environment, in a process each on another."""
    from handful.cli.main import INTERRUPTED
    from handful.cli.train import built, words_of
    from handful.training.group import seeds_of
    from handful.training.system import Simulated

    group, config = _opened(options)
    seeds = seeds_of(config["seeds"])
    try:
        stop.check()
        system, agent = built({**config, "seed": seeds[0]})
        stop.check()
        if isinstance(system, Simulated):
            sessions = _sessions(group, config, system, agent)
            _train_together(group, sessions, clock=clock, stop=stop)
        else:
            system.close()
            _train_apart(group, config, seeds, stop)
    except KeyboardInterrupt:
        done, all_ = sum(group.done(seed) for seed in seeds), len(seeds) * (config["trials"] + 1)
        sys.stdout.write(
            f"Stopped. {done} of {all_} {words_of(config).unit}s are safe; "
            f"go on with: handful train --resume {group.path}\n"
        )
        return INTERRUPTED
    page = _compare(group)
    sys.stdout.write(f"Run folders: {group.member(seeds[0])} ...\nComparison:  {page}\n")
    return 0


def _opened(options: "Options") -> tuple["GroupFolder", dict[str, Any]]:
    """A new group or the one to resume, and what all its seeds have in common."""
    import dataclasses

    from handful.cli.train import check, check_seed, configured, continued, place_of, words_of
    from handful.errors import InputError
    from handful.training.files import sweep
    from handful.training.group import GroupFolder, seeds_of

    check(options)
    if options.resume is not None:
        group = GroupFolder(options.resume)
        config = continued(options, group.config(), group.path)
        most = max(group.done(seed) for seed in seeds_of(config["seeds"])) - 1
        if config["trials"] < most:
            raise InputError(
                f"--trials can only raise the number: {group.path} holds {most} {words_of(config).unit}s already, "
                f"got {config['trials']}"
            )
        sweep(group.path)
        group.write_config(config)
        return group, config
    if options.seed is not None:
        raise InputError(f"--seeds names all seeds; leave out --seed {options.seed}")
    seeds = seeds_of(options.seeds or "")
    check_seed(max(seeds))
    config = {**configured(dataclasses.replace(options, seed=seeds[0])), "seeds": options.seeds}
    del config["seed"]
    return GroupFolder.create(place_of(options), config), config


def _sessions(group: "GroupFolder", config: dict[str, Any], system: Any, agent: Any) -> dict[int, "Session"]:
    """What each seed has come to."""
    from handful.training.group import seeds_of
    from handful.training.session import Session

    sessions = {}
    for seed in seeds_of(config["seeds"]):
        own = {**config, "seed": seed}
        sessions[seed] = Session(group.member_folder(seed, own), system, agent, own)
    return sessions


def _train_together(
    group: "GroupFolder", sessions: dict[int, "Session"], *, clock: "CompileClock", stop: "Stop"
) -> None:
    """What is left of all runs, side by side in this process; their summaries and reports."""
    from handful.cli import runtime
    from handful.cli.train import words_of
    from handful.evaluation.report import write_report
    from handful.training.group import train_together
    from handful.training.progress import observer_for
    from handful.training.seeds_progress import SeedsProgress

    any_ = next(iter(sessions.values()))
    facts = {"device": runtime.device(), "versions": runtime.versions()}
    title = f"{any_.title}, {len(sessions)} seeds side by side"
    trials, words = any_.config["trials"], words_of(any_.config)
    with observer_for(group.path, title, trials, any_.steps, words=words) as display:
        try:
            train_together(sessions, trials=trials, observer=SeedsProgress(display, stop.check))
            stop.check()
        except KeyboardInterrupt:
            for session in sessions.values():
                session.summarise(interrupted=True, compile_s=clock.seconds, **facts)
            raise
        display.say("Drawing the reports.")
        for session in sessions.values():
            stop.check()
            if not session.summarised:
                session.summarise(compile_s=clock.seconds, **facts)
            write_report(session.folder)


def _train_apart(group: "GroupFolder", config: dict[str, Any], seeds: list[int], stop: "Stop") -> None:
    """What is left of all runs, in a process each."""
    from handful.cli.processes import cores, run_apart
    from handful.cli.train import words_of
    from handful.evaluation.facts import command
    from handful.training.run import RunFolder

    trials, commands = config["trials"], {}
    for seed in seeds:
        folder = RunFolder(group.member(seed))
        if folder.config_path.exists():
            words = ["train", "--resume", str(folder.path), "--trials", str(trials)]
        else:
            alone = {name: value for name, value in config.items() if name != "seeds"}
            words = [*shlex.split(command({**alone, "seed": seed}))[1:], "--out", str(folder.path)]
        if not (folder.summarises(trials) and folder.report_path.exists()):
            commands[seed] = words
    name, words = Path(config["task"]).name, words_of(config)
    sys.stdout.write(
        f"{name}, {len(seeds)} seeds, {len(cores())} at a time: {trials} {words.unit}s after {words.first}, "
        f"into {group.path}\n"
    )
    run_apart(commands, stop)


def _compare(group: "GroupFolder") -> Path:
    """The comparison page of the group."""
    from handful.evaluation.comparison import write_comparison

    return write_comparison([group.path], group.path / "compare")
