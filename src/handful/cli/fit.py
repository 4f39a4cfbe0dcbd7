"""`handful fit`: a model from a log, and an honest account of what it knows."""

import dataclasses
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from handful.cli.assemble import Model

if TYPE_CHECKING:
    from handful.data.loaders import Log
    from handful.evaluation.model_fit import ModelFit
    from handful.evaluation.model_folder import ModelFolder
    from handful.models.base import AbstractLearner


NOISELESS = (
    "The true dynamics know neither noise nor doubt: likelihood, coverage and calibration judge float32's rounding, "
    "and only errors tell how well the data follow the task."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Fit a model to recorded trials, and tell what it knows on trials that it never saw."""

    data: Annotated[Path, tyro.conf.Positional]
    """a run folder, an .npz (obs, action, next_obs, trial) or a .csv (columns obs…, action…, trial)"""
    model: Model = "ensemble"
    """which family of models; physics needs --task, whose equations it takes"""
    task: str | None = None
    """gives names, angles and the time step: as for `handful train`"""
    held_out: tuple[int, ...] = ()
    """trials to judge by (each fifth if left out)"""
    horizon: int = 25
    """steps that rollouts look ahead"""
    particles: int = 60
    """particles of each rollout, rounded up to a multiple of the worlds"""
    seed: int = 0
    """all randomness comes from it"""
    float64: bool = False
    """double precision throughout; a Gaussian process may then trust data with hardly any noise"""
    out: Path | None = None
    """the model folder (models/DATA-TIME if left out)"""


def run(options: Options) -> None:
    """Fit, tell, keep."""
    from handful.cli import runtime

    runtime.start()
    if options.float64:
        runtime.use_float64()
    from handful.cli.train import check_seed
    from handful.data.loaders import load_log
    from handful.evaluation.model_folder import ModelFolder
    from handful.evaluation.model_report import write_model_report

    check_seed(options.seed)
    _check_sizes(options)
    folder = ModelFolder(options.out or _usual_path(options.data))
    ModelFolder.check_free(folder.path)
    log = load_log(options.data)
    fit, config = fitted(options, log)
    for note in config["notes"]:
        sys.stdout.write(f"{note}\n")
    folder.save(fit, config)
    write_model_report(folder)
    _present(folder)


def fitted(options: Options, log: "Log") -> tuple["ModelFit", dict[str, Any]]:
    """The fit that the options ask for, and what its folder says of it. Raises `InputError` where it cannot be made."""
    import jax

    from handful.evaluation.model_fit import fit_model, plain_task
    from handful.version import __version__

    env, notes = _environment(options, log)
    task = plain_task(log) if env is None else env.task
    fit = fit_model(
        jax.random.key(options.seed),
        _learner(options, env),
        task,
        log.trials,
        held_out=options.held_out,
        horizon=options.horizon,
        particles=options.particles,
    )
    given = {name: value for name, value in dataclasses.asdict(options).items() if name != "out"}
    config = {"handful": __version__, **given, "data": str(options.data), "task": options.task or log.task}
    return fit, {
        **config,
        "timed": env is not None,
        "notes": [*log.notes, *notes, *([NOISELESS] * (options.model == "truth"))],
    }


def _environment(options: Options, log: "Log") -> tuple[Any, list[str]]:
    """The environment named, or that of the run folder, or None; and what to say."""
    from handful.envs.base import AbstractEnv
    from handful.envs.loading import load
    from handful.errors import InputError

    name = options.task or log.task
    if name is None:
        return None, ["No task was named, so no entry counts as an angle, and time counts steps."]
    try:
        env = load(name)
    except InputError as error:
        if options.task is not None:
            raise
        return None, [f"The task of the run cannot be loaded here, so names are plain: {error}."]
    if not isinstance(env, AbstractEnv):
        env.close()
    return env, []


def _learner(options: Options, env: Any) -> "AbstractLearner":
    from handful.cli.assemble import AgentOptions, learner_of
    from handful.errors import InputError

    if env is None and "physics" in options.model:
        raise InputError(f"--model {options.model} needs the equations of a task: name it with --task")
    return learner_of(AgentOptions(model=options.model), env)


def _check_sizes(options: Options) -> None:
    from handful.errors import InputError

    for name, least in (("horizon", 1), ("particles", 2)):
        if getattr(options, name) < least:
            raise InputError(f"--{name} must be at least {least}, got {getattr(options, name)}")


def _usual_path(data: Path) -> Path:
    stamp = dt.datetime.now(tz=dt.UTC).astimezone().strftime("%Y%m%d-%H%M%S")
    return Path("models") / f"{data.resolve().stem}-{stamp}"


def _present(folder: "ModelFolder") -> None:
    """The tables, the verdict, and where the rest is."""
    from rich.console import Console
    from rich.table import Table

    from handful.evaluation.model_report import table_one_step, table_rollout, verdict

    console, scores = Console(highlight=False), folder.scores()
    for header, rows in (table_one_step(scores), table_rollout(scores)):
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place, column in enumerate(header):
            table.add_column(
                column.replace(" before", "\nbefore"), justify="right" if place else "left", vertical="bottom"
            )
        for row in rows:
            table.add_row(*row)
        console.print(table, end="\n\n")
    console.print(verdict(scores))
    found = scores["calibration"]
    if found:
        console.print(
            f"Every std was stretched by {found['factor']:.3g}, found on trial "
            f"{scores['split']['calibration'][0]} at {found['horizon']} steps ahead."
        )
    sys.stdout.write(f"Model folder: {folder.path}\nReport:       {folder.report_path}\n")
