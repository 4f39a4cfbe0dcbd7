"""Dynamics models with uncertainty, and how they are fitted."""

from typing import TYPE_CHECKING

from handful.lazy import public_names

if TYPE_CHECKING:
    from handful.models.base import AbstractDynamics as AbstractDynamics
    from handful.models.base import AbstractLearner as AbstractLearner
    from handful.models.base import FitReport as FitReport
    from handful.models.ensemble import Ensemble as Ensemble
    from handful.models.ensemble_learner import EnsembleLearner as EnsembleLearner
    from handful.models.ensemble_learner import LearningRate as LearningRate
    from handful.models.ensemble_learner import Minibatches as Minibatches
    from handful.models.ensemble_learner import Noise as Noise
    from handful.models.gp.kernels import Matern52 as Matern52
    from handful.models.gp.kernels import SquaredExponential as SquaredExponential
    from handful.models.gp.learner import GPLearner as GPLearner
    from handful.models.known import KnownDynamics as KnownDynamics
    from handful.models.known import KnownLearner as KnownLearner
    from handful.models.linear import LinearLearner as LinearLearner
    from handful.models.networks import GaussianNet as GaussianNet
    from handful.models.physics_laws import Acceleration as Acceleration
    from handful.models.physics_laws import Derivative as Derivative
    from handful.models.physics_laws import Map as Map
    from handful.models.physics_learner import PhysicsLearner as PhysicsLearner
    from handful.models.physics_parameters import Parameter as Parameter
    from handful.models.point_learner import PointLearner as PointLearner
    from handful.models.recalibrated import Recalibrated as Recalibrated
    from handful.models.recalibrated import RecalibratedLearner as RecalibratedLearner
    from handful.models.residual import ResidualLearner as ResidualLearner
    from handful.models.score import one_step as one_step

# Each public name and the module it is loaded from when it is first used.
__all__, __dir__, __getattr__ = public_names(
    __name__,
    {
        "AbstractDynamics": "models.base",
        "AbstractLearner": "models.base",
        "Acceleration": "models.physics_laws",
        "Derivative": "models.physics_laws",
        "Ensemble": "models.ensemble",
        "EnsembleLearner": "models.ensemble_learner",
        "FitReport": "models.base",
        "GPLearner": "models.gp.learner",
        "GaussianNet": "models.networks",
        "KnownDynamics": "models.known",
        "KnownLearner": "models.known",
        "LearningRate": "models.ensemble_learner",
        "LinearLearner": "models.linear",
        "Map": "models.physics_laws",
        "Matern52": "models.gp.kernels",
        "Minibatches": "models.ensemble_learner",
        "Noise": "models.ensemble_learner",
        "Parameter": "models.physics_parameters",
        "PhysicsLearner": "models.physics_learner",
        "PointLearner": "models.point_learner",
        "Recalibrated": "models.recalibrated",
        "RecalibratedLearner": "models.recalibrated",
        "ResidualLearner": "models.residual",
        "SquaredExponential": "models.gp.kernels",
        "one_step": "models.score",
    },
)
