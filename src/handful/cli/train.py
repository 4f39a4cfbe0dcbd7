"""`handful train`: learn a task into a run folder, watched, and safe against crashes."""

import dataclasses
import datetime as dt
import itertools
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from handful.cli.assemble import AgentOptions, agent_of, named
from handful.cli.assemble_learners import LEARNERS, PRACTISING, learning_of, practising_of, rounds_of, steps_of

if TYPE_CHECKING:
    from handful.cli.runtime import CompileClock
    from handful.cli.stopping import Stop
    from handful.training.progress import Words
    from handful.training.run import RunFolder


@dataclasses.dataclass(frozen=True)
class Options(AgentOptions):
    """Learn a task, trial by trial or round by round, into a run folder that ends with a report."""

    task: Annotated[str | None, tyro.conf.Positional] = None
    """a name from `handful tasks`, gymnasium:ID, or path/to/file.py:NAME"""
    trials: int | None = None
    """controlled trials after the random one (8 if left out); of agents without a model, rounds (as many as --steps
    makes if left out)"""
    seed: int | None = None
    """all randomness comes from it (0 if left out)"""
    seeds: str | None = None
    """several seeds side by side, as in 0-9 or 0,2,5: a folder with a run folder for each, and their comparison"""
    refit_every: int | None = None
    """steps between fits of the model within a trial; left out, once a trial"""
    float64: bool = False
    """double precision throughout: slower; a Gaussian process may then trust data with hardly any noise"""
    out: Path | None = None
    """the run folder, with --seeds the folder of run folders (runs/TASK-TIME if left out)"""
    resume: Path | None = None
    """a folder to go on with; its own options hold, --trials may raise the number (learning rates that fall to zero
    then fall over all rounds)"""


RECORDED = [field.name for field in dataclasses.fields(Options) if field.name not in {"seeds", "out", "resume"}]
SEEDS = 2**32


def run(options: Options) -> int:
    """Train, watched, into a run folder that ends with a report."""
    from handful.cli import runtime, train_seeds
    from handful.cli.main import INTERRUPTED
    from handful.cli.stopping import Stop

    with Stop() as stop:
        runtime.start()
        clock = runtime.CompileClock()
        stop.check()
        if train_seeds.meant(options):
            return train_seeds.run(options, clock=clock, stop=stop)
        folder, config = _opened(options)
        try:
            _train(options, folder, config, clock=clock, stop=stop)
        except KeyboardInterrupt:
            done = len(folder.rows()) if folder.state_path.exists() else 0
            sys.stdout.write(
                f"Stopped. {done} of {config['trials'] + 1} {words_of(config).unit}s are safe; go on with: "
                f"handful train --resume {folder.path}\n"
            )
            return INTERRUPTED
    return 0


def _train(
    options: Options, folder: "RunFolder", config: dict[str, Any], *, clock: "CompileClock", stop: "Stop"
) -> None:
    """What is left of a run, its summary and its report."""
    from handful.cli import runtime
    from handful.cli.stopping import Stoppable
    from handful.errors import InputError
    from handful.evaluation.report import write_report
    from handful.training.progress import observer_for
    from handful.training.session import Session

    stop.check()
    session = Session(folder, *built(config), config)
    stop.check()
    if config["trials"] < session.done - 1:
        raise InputError(
            f"--trials can only raise the number: {folder.path} holds {session.done - 1} {words_of(config).unit}s "
            f"already, got {config['trials']}"
        )
    if options.resume is not None and options.trials is not None:
        folder.write_config(config)
    facts = {"device": runtime.device(), "versions": runtime.versions()}
    with observer_for(folder.path, session.title, config["trials"], session.steps, words=words_of(config)) as observer:
        told = session.notes
        for note in told:
            observer.say(note)
        try:
            session.train(Stoppable(observer, stop))
            stop.check()
        except KeyboardInterrupt:
            session.summarise(interrupted=True, compile_s=clock.seconds, **facts)
            raise
        if not session.summarised:
            session.summarise(compile_s=clock.seconds, **facts)
        stop.check()
        for note in session.notes[len(told) :]:
            observer.say(note)
        observer.say("Drawing the report.")
        write_report(folder)
        observer.say(f"Run folder: {folder.path}\nReport:     {folder.report_path}")


def _opened(options: Options) -> tuple["RunFolder", dict[str, Any]]:
    """A new run folder or the one to resume, and its configuration."""
    from handful.errors import InputError
    from handful.training.run import RunFolder

    check(options)
    if options.resume is None:
        config = configured(options)
        return RunFolder.create(place_of(options), config), config
    folder = opened(options.resume)
    config = continued(options, folder.config(), folder.path)
    if "seeds" in config:
        raise InputError(
            f"{folder.path} learned side by side with other seeds, and the numbers would not be the same alone; "
            f"go on with all of them: handful train --resume {folder.path.resolve().parent}"
        )
    return folder, config


def check(options: Options) -> None:
    """Raises `InputError` where options are wrong by themselves."""
    from handful.errors import InputError

    if (options.task is None) == (options.resume is None):
        raise InputError("name a task, or a run folder with --resume (and not both); `handful tasks` lists the tasks")
    if options.trials is not None and options.trials < 0:
        raise InputError(f"--trials must not be negative, got {options.trials}")
    if options.refit_every is not None and options.refit_every < 1:
        raise InputError(f"--refit-every must be at least 1, got {options.refit_every}")
    if options.seed is not None:
        check_seed(options.seed)
    usual = Options()
    own = [name for name in (*RECORDED, "seeds", "out") if name not in {"task", "trials"}]
    given = [name for name in own if getattr(options, name) != getattr(usual, name)]
    if options.resume is not None and given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"a run goes on with its own options, only --trials can be raised; leave out {names}")


def configured(options: Options) -> dict[str, Any]:
    """The configuration of a new run. Bad input is refused here, before a folder is made."""
    import equinox as eqx
    import jax

    from handful.agents.pets_settings import settings_of
    from handful.data.dataset import check_room
    from handful.errors import InputError
    from handful.version import __version__

    given = {name: getattr(options, name) for name in RECORDED}
    rounds = options.agent in LEARNERS
    usual = 0 if rounds else 8  # rounds are counted below
    given |= {"agent": named(options), "trials": usual if options.trials is None else options.trials}
    if options.steps is not None and not rounds:
        raise InputError(
            f"--steps is of agents without a model; leave it out with --agent {options.agent} and give --trials instead"
        )
    if rounds:
        if options.refit_every is not None:
            raise InputError(
                f"--refit-every is of agents that learn a model; leave it out with --agent {options.agent}"
            )
        given["steps"] = steps_of(options, str(options.task))
    elif options.settings is None and not options.paper and options.agent != "dp":
        given["settings"] = settings_of(str(options.task))
    config = {"handful": __version__, **given, "seed": options.seed or 0}
    system, agent = built(config)
    if rounds and options.trials is None:
        config["trials"] = rounds_of(agent, config["steps"])
    if not rounds:
        check_room(system.task, (config["trials"] + 1) * system.task.horizon)
    learner = agent.learner if rounds else agent
    eqx.filter_eval_shape(learner.init, jax.random.key(0), system.task)
    return config


def words_of(config: dict[str, Any]) -> "Words":
    """What the parts of a run are called."""
    from handful.training.progress import ROUNDS, TRIALS

    return ROUNDS if config.get("agent") in LEARNERS else TRIALS


def place_of(options: Options) -> Path:
    """Where a new run goes."""
    if options.out is not None:
        return options.out
    stamp = dt.datetime.now(tz=dt.UTC).astimezone().strftime("%Y%m%d-%H%M%S")
    name = str(options.task).rsplit(":", 1)[-1].replace("/", "-").lower()
    return _unused(Path("runs") / f"{name}-{stamp}")


def continued(options: Options, config: dict[str, Any], path: Path) -> dict[str, Any]:
    """The configuration of a run that goes on, with more trials where these are asked for."""
    from handful.errors import InputError
    from handful.version import __version__

    if config.get("handful") != __version__:
        raise InputError(
            f"{path} was made by handful {config.get('handful')}, this is {__version__}: "
            "install that version to go on, or start a new run"
        )
    if type(config.get("trials")) is not int:
        raise InputError(f"the configuration of {path} has no usable 'trials': restore it, or start a new run")
    return config if options.trials is None else {**config, "trials": options.trials}


def opened(path: Path) -> "RunFolder":
    """A run folder. Raises `InputError` where it is none, or one of a model alone."""
    from handful.errors import InputError
    from handful.evaluation.model_folder import ModelFolder
    from handful.training.run import RunFolder

    if ModelFolder.is_one(path):
        raise InputError(f"{path} holds a model that `handful fit` made and no run; name one that `handful train` made")
    return RunFolder.open(path)


def _unused(path: Path) -> Path:
    """The folder, or one beside it where another run took the name in the same second."""
    from handful.errors import InputError

    for number in itertools.count(2):
        claimed = path if number == 2 else path.with_name(f"{path.name}-{number - 1}")
        try:
            claimed.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"{path} cannot be made ({error.strerror}); choose a folder with --out") from error
        return claimed
    raise AssertionError


def check_seed(seed: int) -> None:
    """Raises `InputError` where two seeds could mean the same."""
    from handful.errors import InputError

    if not 0 <= seed < SEEDS:
        raise InputError(f"--seed must be between 0 and {SEEDS - 1}, got {seed}")


def built(config: dict[str, Any]) -> tuple[Any, Any]:
    """The system and the agent that a configuration describes. Raises `InputError` where it is none."""
    from handful.cli import runtime
    from handful.envs.loading import load
    from handful.errors import InputError
    from handful.training.system import system_for

    kinds = typing.get_type_hints(Options) | {"task": str, "trials": int, "seed": int}
    for name in RECORDED:
        if name not in config or not _is(config[name], kinds[name]):
            raise InputError(
                f"the configuration of the run has no usable {name!r}: restore its config.json, or start a new run"
            )
    if config["float64"]:
        runtime.use_float64()
    system = system_for(load(config["task"]))
    names = [field.name for field in dataclasses.fields(AgentOptions)]
    options = AgentOptions(**{name: config[name] for name in names})
    if options.agent in LEARNERS:
        return system, learning_of(options, system.env, config["task"], config["trials"])
    make = practising_of if options.agent in PRACTISING else agent_of
    return system, make(options, system.env, config["task"])


def _is(value: Any, kind: Any) -> bool:
    """Whether a value from a JSON file is what an option's annotation says."""
    choices = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return value in choices
    if choices:
        return any(_is(value, choice) for choice in choices)
    return type(value) is kind or (kind is float and type(value) is int)
