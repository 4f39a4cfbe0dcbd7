"""The planner and the propagator that options describe."""

import dataclasses
import importlib
from typing import Any

import jax.numpy as jnp

from handful.agents.options.filled import filled, given, refuse, unknown
from handful.agents.options.plain import plain
from handful.agents.options.planning import OF_PLANNERS, PLANNERS, checked_horizon
from handful.agents.pets_settings import ELITES, PETSSettings
from handful.envs.info import Published
from handful.errors import InputError
from handful.planning.base import AbstractPlanner
from handful.planning.ilqr import ILQR
from handful.planning.mppi import MPPI
from handful.propagation.base import AbstractPropagator
from handful.propagation.distribution_sampling import DistributionSampling, Expectation, MomentMatching
from handful.propagation.epistemic_only import EpistemicOnly
from handful.propagation.risk import AbstractRisk, Mean, MeanStd
from handful.propagation.trajectory_sampling import TS1, TSInf
from handful.user_code import is_own, own

PROPAGATORS = {"ts-inf": TSInf, "ts1": TS1, "ds": DistributionSampling, "mm": MomentMatching}
FIELDS = {  # options whose planner's field has another name
    "noise_colour": "colour", "noise_std": "std", "keep_elites": "keep", "population_decay": "decay",
    "step_size": "learning_rate", "damping_factor": "factor",
}  # fmt: skip


OF_ILQR = {"step_sizes": "candidates", "candidates": ""}  # its candidates are step sizes


def resolved_planner(options: Any, task: Any, settings: PETSSettings, paper: Published | None) -> Any:
    """The options with every option of the planner filled in, by the planner's own defaults where nothing else is set.

    Raises `InputError` where the planner does not fit the task, or does not have an option that was given.
    """
    usual = "categorical-cem" if task.categorical else "cem" if paper else "icem"
    ours = options.planner is None and usual == "icem"
    options = filled(options, planner=usual)
    start = _start(options.planner)
    _check_actions(options.planner, task)
    ahead = paper.horizon if paper else settings.horizon
    ahead = start.horizon if task.categorical or is_own(options.planner) else ahead
    options = filled(options, horizon=checked_horizon(options.horizon, ahead, task))
    if ours:  # one population in all iterations, since one shape compiles sooner than three
        if options.candidates is None:
            options = filled(options, candidates=settings.candidates, elites=ELITES)
        options = filled(
            options,
            population_decay=1.0,
            follow_best=settings.follow_best,
            noise_colour=settings.colour,
            noise_std=settings.std,
        )
    if paper and options.planner == "cem":
        options = filled(options, candidates=paper.candidates)
    planner = planner_of(options)
    read = {name: getattr(planner, _field(name, planner), None) for name in OF_PLANNERS}
    read |= {"elites": getattr(planner, "elite_count", None), "keep_elites": getattr(planner, "keep_count", None)}
    return filled(options, **{name: plain(value) for name, value in read.items()})


def planner_of(options: Any) -> AbstractPlanner:
    """The planner. What was left out is the planner's own default; such as a tenth of the candidates for elites.

    Raises `InputError` where it does not have an option that was given, or its sizes do not fit.
    """
    start = _start(options.planner)
    if isinstance(start, MPPI) and getattr(options, "paper", False):
        start = dataclasses.replace(start, control_cost=jnp.ones(()))
    has = {field.name for field in dataclasses.fields(start)}
    foreign = [name for name in OF_PLANNERS if _field(name, start) not in has]
    refuse(options, foreign, f"is not an option of --planner {options.planner}")
    sizes = {_field(name, start): value for name, value in given(options, ("horizon", *OF_PLANNERS)).items()}
    return dataclasses.replace(start, **sizes)


def _field(option: str, planner: AbstractPlanner) -> str:
    """The planner's field that an option sets."""
    return (FIELDS | (OF_ILQR if isinstance(planner, ILQR) else {})).get(option, option)


def _start(name: str) -> AbstractPlanner:
    """A planner as its class makes it; a user's by its file."""
    if is_own(name):
        return own(name, AbstractPlanner, "a planner")
    if name not in PLANNERS:
        raise unknown("planner", name, PLANNERS)
    module, _, kind = PLANNERS[name].partition(":")
    return getattr(importlib.import_module(f"handful.planning.{module}"), kind)()


def propagator_of(options: Any, memoryless: tuple[int, ...] | None = None) -> AbstractPropagator:
    """The propagator, with or without process noise.

    With `memoryless`, those entries of the task's observation, moments are matched as published: over changes.
    """
    kind = PROPAGATORS.get(options.propagation)
    propagator = Expectation() if kind is None else kind(options.particles)
    if isinstance(propagator, MomentMatching) and memoryless is not None:
        propagator = MomentMatching(options.particles, of_changes=True, memoryless=memoryless)
    return propagator if options.process_noise else EpistemicOnly(propagator)


def risk_of(options: Any) -> AbstractRisk:
    """The risk measure."""
    return MeanStd(options.risk) if options.risk else Mean()


def first_colour(options: Any) -> float | None:
    """The colour of the actions in the first trial; None stands for uniform ones."""
    return None if options.exploration_colour == "uniform" else options.exploration_colour


def _check_actions(planner: str, task: Any) -> None:
    if is_own(planner) or task.categorical == (planner == "categorical-cem"):
        return
    there, wanted = ("categories", "categorical-cem") if task.categorical else ("continuous", "icem")
    raise InputError(f"this task's actions are {there}; take --planner {wanted}, got {planner}")
