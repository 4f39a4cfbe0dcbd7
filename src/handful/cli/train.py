"""`handful train`: learn a task into a run folder, watched, and safe against crashes."""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import tyro

from handful.cli.assemble import AgentOptions, agent_of


@dataclasses.dataclass(frozen=True)
class Options(AgentOptions):
    """Learn a task, trial by trial, into a run folder that ends with a report."""

    task: Annotated[str | None, tyro.conf.Positional] = None
    """a name from `handful tasks`, gymnasium:ID, or path/to/file.py:NAME"""
    trials: int | None = None
    """controlled trials after the random one (8 if left out)"""
    seed: int = 0
    """all randomness comes from it"""
    refit_every: int | None = None
    """steps between fits within a trial; left out, once a trial"""
    out: Path | None = None
    """the run folder (runs/TASK-TIME if left out)"""
    resume: Path | None = None
    """a run folder to go on with; its own options hold, --trials may raise the number"""


def run(options: Options) -> int:
    """Train, watched, into a run folder that ends with a report."""
    from handful.cli import runtime

    runtime.start()
    clock = runtime.CompileClock()
    from handful.training.progress import observer_for
    from handful.training.session import Session

    folder, config = _opened(options)
    session = Session(folder, *built(config), config)
    facts = {"device": runtime.device(), "versions": runtime.versions()}
    with observer_for(folder.path, session.title, config["trials"]) as observer:
        for note in session.notes:
            observer.say(note)
        try:
            session.train(observer)
        except KeyboardInterrupt:
            session.summarise(compile_s=clock.seconds, **facts)
            observer.say(
                f"Stopped. {session.done} of {config['trials'] + 1} trials are safe; go on with: "
                f"handful train --resume {folder.path}"
            )
            return 130
        session.summarise(compile_s=clock.seconds, **facts)
        from handful.evaluation.report import write_report

        observer.say("Drawing the report.")
        write_report(folder)
        observer.say(f"Run folder: {folder.path}\nReport:     {folder.report_path}")
    return 0


def _opened(options: Options) -> tuple[Any, dict[str, Any]]:
    """A new run folder or the one to resume, and its configuration."""
    import handful
    from handful.errors import InputError
    from handful.training.run import RunFolder

    if (options.task is None) == (options.resume is None):
        raise InputError("name a task, or a run folder with --resume (and not both); `handful tasks` lists the tasks")
    if options.trials is not None and options.trials < 0:
        raise InputError(f"--trials must not be negative, got {options.trials}")
    if options.refit_every is not None and options.refit_every < 1:
        raise InputError(f"--refit-every must be at least 1, got {options.refit_every}")
    if options.resume is not None:
        folder = RunFolder.open(options.resume)
        config = folder.config()
        if config.get("handful") != handful.__version__:
            raise InputError(
                f"{options.resume} was made by handful {config.get('handful')}, this is {handful.__version__}: "
                "install that version to go on, or start a new run"
            )
        if options.trials is not None:
            config["trials"] = options.trials
            folder.write_config(config)
        return folder, config
    trials = 8 if options.trials is None else options.trials
    plain = {key: value for key, value in dataclasses.asdict(options).items() if key not in {"out", "resume"}}
    config = {"handful": handful.__version__, **plain, "trials": trials}
    built(config)  # bad input is refused before a folder is made
    stamp = dt.datetime.now(tz=dt.UTC).astimezone().strftime("%Y%m%d-%H%M%S")
    name = str(options.task).rsplit(":", 1)[-1].replace("/", "-").lower()
    return RunFolder.create(options.out or Path("runs") / f"{name}-{stamp}", config), config


def built(config: dict[str, Any]) -> tuple[Any, Any]:
    """The system and the agent that a configuration describes."""
    from handful.envs.loading import load
    from handful.training.system import system_for

    system = system_for(load(config["task"]))
    names = [field.name for field in dataclasses.fields(AgentOptions)]
    return system, agent_of(AgentOptions(**{name: config[name] for name in names}), system.task)
