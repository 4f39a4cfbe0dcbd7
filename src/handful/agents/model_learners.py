"""The model learner that options describe."""

import dataclasses
import importlib
from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh

from handful.agents.options.filled import given, refuse
from handful.agents.options.models import LEARNERS, OF_MODELS, POINTS
from handful.agents.options.plain import plain
from handful.envs.base import AbstractEnv
from handful.envs.physics import physics_of, truth_of
from handful.models.base import AbstractDynamics, AbstractLearner
from handful.models.ensemble_learner import EnsembleLearner, LearningRate, Minibatches, Noise
from handful.models.gp.learner import GPLearner
from handful.models.gp.marginal_likelihood import Search
from handful.models.point_learner import PointLearner
from handful.models.recalibrated import RecalibratedLearner
from handful.models.residual import ResidualLearner
from handful.user_code import is_own, own

HINTS = {
    AbstractDynamics: "that is what a fit returns; write the AbstractLearner that fits it",
}


def model_learner(options: Any, env: Any, mesh: Mesh | None = None) -> AbstractLearner:
    """The learner of the model that resolved options describe; `mesh` shares out the members of an ensemble.

    Raises `InputError` where an option is out of range, and where the task declares no physics that is asked for.
    """
    learner = _learner(options, env, mesh)
    return learner if options.recalibrate is None else RecalibratedLearner(learner, options.recalibrate)


def usual_options(model: str) -> dict[str, Any]:
    """The options of models without networks, as their classes have them."""
    if model in LEARNERS:
        learner = registered(model)
        return {name: plain(getattr(learner, name)) for name in OF_MODELS if hasattr(learner, name)}
    if model != "gp":
        return {}
    learner = GPLearner()
    search = learner.search
    return {
        "max_points": learner.max_points,
        "world_features": learner.world_features,
        "search_steps": plain(search.steps),
        "search_learning_rate": plain(search.learning_rate),
        "search_starts": search.starts,
    }


def registered(model: str) -> AbstractLearner:
    """A learner of `LEARNERS` with its defaults."""
    module, _, kind = LEARNERS[model].partition(":")
    return getattr(importlib.import_module(f"handful.models.{module}"), kind)()


def learns_on_host(options: Any, env: Any) -> bool:
    """True if the model is a simulator outside compiled code, which has no derivatives."""
    return options.model == "truth" and not isinstance(env, AbstractEnv)


def _learner(options: Any, env: Any, mesh: Mesh | None) -> AbstractLearner:
    model = str(options.model)
    if is_own(model) or model in LEARNERS:
        learner = registered(model) if model in LEARNERS else own(model, AbstractLearner, "a model", HINTS)
        has = {field.name for field in dataclasses.fields(learner)}
        refuse(options, [name for name in OF_MODELS if name not in has], f"is not an option of --model {model}")
        return dataclasses.replace(learner, **given(options, OF_MODELS))
    if model == "truth":
        return truth_of(env)
    if model == "gp":
        search = Search(options.search_steps, options.search_learning_rate, options.search_starts)
        return GPLearner(max_points=options.max_points, world_features=options.world_features, search=search)
    if "physics" in model:
        physics = physics_of(env, guess_error=1.0 if options.guess_error is None else options.guess_error)
        return ResidualLearner(physics, _ensemble(options, mesh)) if model == "physics+ensemble" else physics
    return PointLearner.of(_ensemble(options, mesh)) if model in POINTS else _ensemble(options, mesh)


def _ensemble(options: Any, mesh: Mesh | None) -> EnsembleLearner:
    paper = getattr(options, "paper", False)
    return EnsembleLearner(
        hidden=options.hidden,
        weight_decay=jnp.array(options.weight_decay),
        learning_rate=LearningRate(options.learning_rate, options.final_learning_rate),
        # Members that stop one by one cannot share their bounds.
        noise=Noise(beta=options.beta_nll, shared=paper and not options.held_out),
        members=options.members,
        scale_targets=options.scale_targets,
        minibatches=Minibatches(
            batch_size=options.batch_size,
            epochs=options.epochs,
            min_steps=options.min_fit_steps,
            max_steps=options.fit_steps,
            bootstrap=options.bootstrap,
            holdout=options.held_out,
            shuffled=paper,
        ),
        mesh=mesh,
    )
