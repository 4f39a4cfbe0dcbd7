"""Options of every command but `train`; see `train_options`. Nothing here needs JAX, so that help answers at once."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from handful.agents.options.models import Model
from handful.errors import InputError

SEEDS = 2**32


@dataclass(frozen=True)
class Tasks:
    """The tasks, their sizes, what is known of them."""


@dataclass(frozen=True)
class Evaluate:
    """Run the learned controller of a run folder from fresh starts: mean and spread of the return."""

    run: Annotated[Path, tyro.conf.Positional]  # a run folder
    episodes: int = 10  # fresh trials
    seed: int = 1000  # of the fresh starts
    trust: bool = False  # run the code that the folder names, though it has been changed or was never run here


@dataclass(frozen=True)
class Compare:
    """Compare runs: learning curves, means with intervals, steps and time to a return."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """run folders, folders that --seeds made, and folders with seed-N.csv and seed-N.json"""
    threshold: float | None = None  # the return to reach (default: the solved threshold of the task, if one is defined)
    lecture: bool = False
    """a chart of all methods for each task, by kind: return against samples and against wall-clock"""
    out: Path | None = None  # folder of the page, figures and tables (default: compare-TIME or lecture-TIME)


@dataclass(frozen=True)
class Check:
    """Compare reward, termination, actions and step length of a task with what its environment does."""

    task: Annotated[str, tyro.conf.Positional]  # a name from `handful tasks`, gymnasium:ID, or path/to/file.py:NAME
    trials: int = 3  # random trials
    steps: int = 200  # steps of a trial, at most
    seed: int = 0  # of initial states and actions
    json: Path | None = None  # a file for the findings


@dataclass(frozen=True)
class Fit:
    """Fit a model to recorded trials, and score it on held-out trials."""

    data: Annotated[Path, tyro.conf.Positional]
    """a run folder, an .npz (obs, action, next_obs, trial) or a .csv (columns obs…, action…, trial)"""
    model: Model = "ensemble"
    """which family of models; physics needs equations: of a built-in task, or a PhysicsLearner that the file of your
    environment declares as `physics`; name either with --task, unless the run folder does"""
    task: str | None = None  # gives names, angles and the time step: as for `handful train`
    held_out: tuple[int, ...] = ()  # trials to score on (default: every fifth)
    horizon: int = 25  # steps of the scored rollouts
    particles: int = 60  # particles of each rollout, rounded up to a multiple of the model's worlds
    seed: int = 0  # of all random numbers
    float64: bool = False  # compute in double precision; helps Gaussian processes on data with hardly any noise
    out: Path | None = None  # the model folder (default: models/DATA-TIME)


@dataclass(frozen=True)
class Report:
    """Rewrite report.html of a run folder or a model folder."""

    run: Annotated[Path, tyro.conf.Positional]  # a folder made by `handful train` or `handful fit`


@dataclass(frozen=True)
class BenchPlan:
    """Time one plan of the cross-entropy method through an untrained ensemble, on the cart-pole task."""

    candidates: int = 500  # plans tried in an iteration
    horizon: int = 15  # steps that a plan looks ahead
    particles: int = 20  # rollouts of each candidate plan, a multiple of the members
    iterations: int = 5  # iterations of the planner
    members: int = 5  # nets in the ensemble
    layers: int = 4  # hidden layers of a net
    width: int = 200  # units of a hidden layer
    precision: Literal["float32", "bf16"] = "float32"  # type of the nets' products; they add up in float32 either way
    repeats: int = 20  # times that it is measured; the median counts
    json: Path | None = None  # write the result to this file too


@dataclass(frozen=True)
class BenchFit:
    """Time gradient steps of a probabilistic ensemble on random data, or fit, prediction and growth of a GP."""

    model: Literal["ensemble", "gp"] = "ensemble"
    """what is fitted; the options from transitions to width are of ensembles"""
    points: int = 500  # rows of a GP
    inputs: int = 5  # inputs of a GP
    outputs: int = 4  # outputs of a GP
    transitions: int = 2000  # rows of data
    batch: int = 256  # rows of a gradient step
    steps: int | None = None  # gradient steps of a fit: 500, for a GP 100
    members: int = 5  # nets in the ensemble
    layers: int = 4  # hidden layers of a net
    width: int = 200  # units of a hidden layer
    repeats: int = 5  # times that it is measured; the median counts
    json: Path | None = None  # write the result to this file too


OPTIONS = {
    "tasks": Tasks, "evaluate": Evaluate, "compare": Compare, "check": Check, "fit": Fit, "report": Report,
    "bench plan": BenchPlan, "bench fit": BenchFit,
}  # fmt: skip


def check_seed(seed: int) -> None:
    """Raises `InputError` where two seeds could mean the same."""
    if not 0 <= seed < SEEDS:
        raise InputError(f"--seed must be between 0 and {SEEDS - 1}, got {seed}")


def stamp() -> str:
    """The time now, as names of folders have it."""
    return dt.datetime.now(tz=dt.UTC).astimezone().strftime("%Y%m%d-%H%M%S")
