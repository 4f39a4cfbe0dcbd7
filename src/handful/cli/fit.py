"""`handful fit`: a model from recorded trials, scored on held-out ones."""

import dataclasses
import sys
from typing import Any

import jax
import jax.numpy as jnp

from handful.agents.model_learners import model_learner
from handful.agents.options.models import ModelOptions
from handful.cli import early, runtime
from handful.cli.options import Fit
from handful.cli.tables import show, table_of
from handful.data.loaders import Log, load_log
from handful.envs.base import AbstractEnv
from handful.envs.loading import load
from handful.envs.registry import TASKS, info_of
from handful.errors import InputError
from handful.models.base import AbstractLearner
from handful.reports.model_report import (
    calibrated,
    coarse,
    table_one_step,
    table_rollout,
    verdict,
    write_model_report,
)
from handful.reports.plant import Plant
from handful.reports.run_report import parameter_rows
from handful.task import Task
from handful.training.model_fit import ModelFit, ModelFolder, fit_model, plain_task
from handful.version import __version__

UNNAMED = "No task is given, so no entry is treated as an angle, and time is counted in steps."
NOISELESS = (
    "The true dynamics predict no uncertainty: likelihood, coverage and calibration measure float32's rounding, and "
    "only the errors show how well the data follow the task."
)


def run(options: Fit) -> None:
    """Fit, save and print the scores."""
    early.check(options)
    if options.float64:
        runtime.use_float64()
    folder = ModelFolder(early.model_path(options))
    log = load_log(options.data)
    fit, config = fitted(options, log)
    for note in [*config["notes"], *coarse(config)]:
        sys.stdout.write(f"{note}\n")
    folder.save(fit, config)
    write_model_report(folder)
    _present(folder)


def fitted(options: Fit, log: Log) -> tuple[ModelFit, dict[str, Any]]:
    """The fit of the options and the configuration of its folder. Raises `InputError` where they do not fit the log."""
    env, task, notes = _environment(options, log)
    sizes = {"held_out": options.held_out, "horizon": options.horizon, "particles": options.particles}
    fit = fit_model(jax.random.key(options.seed), _learner(options, env), task, log.trials, **sizes)
    given = {name: value for name, value in dataclasses.asdict(options).items() if name != "out"}
    config = {"handful": __version__, **given, "data": str(options.data), "task": options.task or log.task}
    notes = [*log.notes, *notes, *([NOISELESS] * (options.model == "truth"))]
    return fit, {**config, "timed": env is not None or log.system is not None, "notes": notes}


def _environment(options: Fit, log: Log) -> tuple[Any, Task, list[str]]:
    """The environment, if it may be made, the task and notes.

    Code of the user is run only where `task` names it; of a run folder, its record of the system is enough.
    """
    plant = None if log.system is None else Plant.recorded(log.system)
    name = options.task or (log.task if log.task in TASKS else None)
    if name is None and plant is not None:
        return None, task_of(plant), []
    if name is None:
        return (
            None,
            plain_task(log),
            ["No task is given, so no entry is treated as an angle, and time is counted in steps."],
        )
    env = load(name)
    if not isinstance(env, AbstractEnv):
        env.close()
    return env, env.task, []


def task_of(plant: Plant) -> Task:
    """A task without a reward, as a run folder records it."""
    return Task(
        reward=lambda obs, action, next_obs: jnp.zeros(()),
        low=jnp.asarray(plant.low),
        high=jnp.asarray(plant.high),
        names=plant.names,
        angles=plant.angles,
        dt=plant.dt,
        horizon=plant.horizon,
        categorical=plant.categorical,
    )


def _learner(options: Fit, env: Any) -> AbstractLearner:
    if env is None and "physics" in options.model:
        raise InputError(f"--model {options.model} needs the equations of a task: give one with --task")
    given = ModelOptions(model=options.model, settings="light")
    return model_learner(given.resolved_model(info_of("point-mass")), env)


def _present(folder: ModelFolder) -> None:
    """Print the tables, the parameters, the verdict and the paths."""
    scores, names = folder.scores(), folder.config()["names"]
    for header, rows in [table_one_step(scores), table_rollout(scores), *parameter_rows(scores["parameters"])]:
        show(table_of(header, rows, numbers=True), "")
    show(verdict(scores, names))
    if said := calibrated(scores):
        show(said)
    sys.stdout.write(f"Model folder: {folder.path}\nReport:       {folder.report_path}\n")
