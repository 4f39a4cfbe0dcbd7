"""handful: learn to control a system in a handful of trials."""

import importlib
from typing import TYPE_CHECKING, Any

from handful.version import __version__ as __version__

if TYPE_CHECKING:
    from handful.agents.base import AbstractAgent as AbstractAgent
    from handful.agents.mpc_agent import MPCAgent as MPCAgent
    from handful.agents.pets import pets as pets
    from handful.agents.pets import pets_learner as pets_learner
    from handful.agents.pets import pets_paper as pets_paper
    from handful.agents.policy_search import Ascent as Ascent
    from handful.agents.policy_search import PolicySearchAgent as PolicySearchAgent
    from handful.agents.task_physics import physics_of as physics_of
    from handful.data.dataset import Dataset as Dataset
    from handful.data.features import Features as Features
    from handful.data.loaders import load_log as load_log
    from handful.data.scaling import Standardiser as Standardiser
    from handful.devices import all_devices as all_devices
    from handful.envs.base import AbstractEnv as AbstractEnv
    from handful.envs.cartpole import CartPoleSwingUp as CartPoleSwingUp
    from handful.envs.pendulum import Pendulum as Pendulum
    from handful.envs.point_mass import PointMass as PointMass
    from handful.errors import InputError as InputError
    from handful.evaluation.model_fit import fit_model as fit_model
    from handful.models.base import AbstractDynamics as AbstractDynamics
    from handful.models.base import AbstractLearner as AbstractLearner
    from handful.models.base import FitReport as FitReport
    from handful.models.ensemble import Ensemble as Ensemble
    from handful.models.ensemble_learner import EnsembleLearner as EnsembleLearner
    from handful.models.ensemble_learner import Minibatches as Minibatches
    from handful.models.ensemble_learner import Noise as Noise
    from handful.models.ensemble_learner import Rate as Rate
    from handful.models.gp.kernels import Matern52 as Matern52
    from handful.models.gp.kernels import SquaredExponential as SquaredExponential
    from handful.models.gp.learner import GPLearner as GPLearner
    from handful.models.identified import identified as identified
    from handful.models.known import KnownDynamics as KnownDynamics
    from handful.models.linear import LinearLearner as LinearLearner
    from handful.models.networks import GaussianNet as GaussianNet
    from handful.models.physics_laws import Acceleration as Acceleration
    from handful.models.physics_laws import Derivative as Derivative
    from handful.models.physics_learner import PhysicsLearner as PhysicsLearner
    from handful.models.physics_parameters import Parameter as Parameter
    from handful.models.recalibrated import Recalibrated as Recalibrated
    from handful.models.residual import ResidualLearner as ResidualLearner
    from handful.models.score import one_step as one_step
    from handful.planning.base import AbstractPlanner as AbstractPlanner
    from handful.planning.base import optimise as optimise
    from handful.planning.categorical_cem import CategoricalCEM as CategoricalCEM
    from handful.planning.cem import CEM as CEM
    from handful.planning.gradient import GradientPlanner as GradientPlanner
    from handful.planning.icem import ICEM as ICEM
    from handful.planning.ilqr import ILQR as ILQR
    from handful.planning.lqr import Regulator as Regulator
    from handful.planning.lqr import riccati as riccati
    from handful.planning.mpc import MPC as MPC
    from handful.planning.mppi import MPPI as MPPI
    from handful.planning.problem import Problem as Problem
    from handful.planning.shooting import RandomShooting as RandomShooting
    from handful.policies.base import AbstractPolicy as AbstractPolicy
    from handful.policies.radial import RadialPolicy as RadialPolicy
    from handful.policies.simple import ConstantPolicy as ConstantPolicy
    from handful.policies.simple import OpenLoop as OpenLoop
    from handful.policies.simple import UniformPolicy as UniformPolicy
    from handful.propagation.base import AbstractPropagator as AbstractPropagator
    from handful.propagation.distribution_sampling import DistributionSampling as DistributionSampling
    from handful.propagation.distribution_sampling import Expectation as Expectation
    from handful.propagation.distribution_sampling import MomentMatching as MomentMatching
    from handful.propagation.risk import AbstractRisk as AbstractRisk
    from handful.propagation.risk import CVaR as CVaR
    from handful.propagation.risk import Mean as Mean
    from handful.propagation.risk import MeanStd as MeanStd
    from handful.propagation.trajectory_sampling import TS1 as TS1
    from handful.propagation.trajectory_sampling import TSInf as TSInf
    from handful.task import Task as Task
    from handful.training.collect import episode as episode
    from handful.training.learn import Learned as Learned
    from handful.training.learn import learn as learn
    from handful.training.loop import Loop as Loop
    from handful.training.run import RunFolder as RunFolder
    from handful.training.system import Simulated as Simulated
    from handful.types import Prediction as Prediction
    from handful.types import Rollout as Rollout
    from handful.types import Step as Step
    from handful.types import Transition as Transition


# Each public name and where it lives. Names are loaded when they are first used, so that the command line is quick.
_HOMES = {
    "AbstractAgent": "agents.base",
    "AbstractDynamics": "models.base",
    "AbstractEnv": "envs.base",
    "AbstractLearner": "models.base",
    "AbstractPlanner": "planning.base",
    "AbstractPolicy": "policies.base",
    "AbstractPropagator": "propagation.base",
    "AbstractRisk": "propagation.risk",
    "Acceleration": "models.physics_laws",
    "Ascent": "agents.policy_search",
    "CEM": "planning.cem",
    "CVaR": "propagation.risk",
    "CartPoleSwingUp": "envs.cartpole",
    "CategoricalCEM": "planning.categorical_cem",
    "ConstantPolicy": "policies.simple",
    "Dataset": "data.dataset",
    "Derivative": "models.physics_laws",
    "DistributionSampling": "propagation.distribution_sampling",
    "Ensemble": "models.ensemble",
    "EnsembleLearner": "models.ensemble_learner",
    "Expectation": "propagation.distribution_sampling",
    "Features": "data.features",
    "FitReport": "models.base",
    "GPLearner": "models.gp.learner",
    "GaussianNet": "models.networks",
    "GradientPlanner": "planning.gradient",
    "ICEM": "planning.icem",
    "ILQR": "planning.ilqr",
    "InputError": "errors",
    "KnownDynamics": "models.known",
    "Learned": "training.learn",
    "LinearLearner": "models.linear",
    "Loop": "training.loop",
    "MPC": "planning.mpc",
    "MPCAgent": "agents.mpc_agent",
    "MPPI": "planning.mppi",
    "Matern52": "models.gp.kernels",
    "Mean": "propagation.risk",
    "MeanStd": "propagation.risk",
    "Minibatches": "models.ensemble_learner",
    "MomentMatching": "propagation.distribution_sampling",
    "Noise": "models.ensemble_learner",
    "OpenLoop": "policies.simple",
    "Parameter": "models.physics_parameters",
    "Pendulum": "envs.pendulum",
    "PhysicsLearner": "models.physics_learner",
    "PointMass": "envs.point_mass",
    "PolicySearchAgent": "agents.policy_search",
    "Prediction": "types",
    "Problem": "planning.problem",
    "RadialPolicy": "policies.radial",
    "RandomShooting": "planning.shooting",
    "Rate": "models.ensemble_learner",
    "Recalibrated": "models.recalibrated",
    "Regulator": "planning.lqr",
    "ResidualLearner": "models.residual",
    "Rollout": "types",
    "RunFolder": "training.run",
    "Simulated": "training.system",
    "SquaredExponential": "models.gp.kernels",
    "Standardiser": "data.scaling",
    "Step": "types",
    "TS1": "propagation.trajectory_sampling",
    "TSInf": "propagation.trajectory_sampling",
    "Task": "task",
    "Transition": "types",
    "UniformPolicy": "policies.simple",
    "all_devices": "devices",
    "episode": "training.collect",
    "fit_model": "evaluation.model_fit",
    "identified": "models.identified",
    "learn": "training.learn",
    "load_log": "data.loaders",
    "one_step": "models.score",
    "optimise": "planning.base",
    "pets": "agents.pets",
    "pets_learner": "agents.pets",
    "pets_paper": "agents.pets",
    "physics_of": "agents.task_physics",
    "riccati": "planning.lqr",
}
__all__ = [*_HOMES]  # noqa: PLE0604 - the keys of the table, which a test holds against sorted strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'handful' has no attribute {name!r}")
    return getattr(importlib.import_module(f"handful.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
