"""handful: learn to control a system in a handful of trials."""

import importlib
from typing import TYPE_CHECKING, Any

from handful.version import __version__ as __version__

if TYPE_CHECKING:
    from handful.agents.base import AbstractAgent as AbstractAgent
    from handful.agents.mpc_agent import MPCAgent as MPCAgent
    from handful.agents.pets import pets as pets
    from handful.agents.pets import pets_paper as pets_paper
    from handful.data.dataset import Dataset as Dataset
    from handful.data.features import Features as Features
    from handful.data.scaling import Standardiser as Standardiser
    from handful.envs.base import AbstractEnv as AbstractEnv
    from handful.envs.cartpole import CartPoleSwingUp as CartPoleSwingUp
    from handful.envs.pendulum import Pendulum as Pendulum
    from handful.envs.point_mass import PointMass as PointMass
    from handful.errors import InputError as InputError
    from handful.models.base import AbstractDynamics as AbstractDynamics
    from handful.models.base import AbstractLearner as AbstractLearner
    from handful.models.base import FitReport as FitReport
    from handful.models.ensemble import Ensemble as Ensemble
    from handful.models.ensemble import NetworkWorld as NetworkWorld
    from handful.models.ensemble_learner import EnsembleLearner as EnsembleLearner
    from handful.models.ensemble_learner import Minibatches as Minibatches
    from handful.models.ensemble_learner import Rate as Rate
    from handful.models.known import KnownDynamics as KnownDynamics
    from handful.models.networks import GaussianNet as GaussianNet
    from handful.models.score import one_step as one_step
    from handful.planning.base import AbstractPlanner as AbstractPlanner
    from handful.planning.base import optimise as optimise
    from handful.planning.cem import CEM as CEM
    from handful.planning.icem import ICEM as ICEM
    from handful.planning.lqr import Regulator as Regulator
    from handful.planning.lqr import riccati as riccati
    from handful.planning.mpc import MPC as MPC
    from handful.planning.mppi import MPPI as MPPI
    from handful.planning.problem import Problem as Problem
    from handful.planning.shooting import RandomShooting as RandomShooting
    from handful.policies.base import AbstractPolicy as AbstractPolicy
    from handful.policies.simple import ConstantPolicy as ConstantPolicy
    from handful.policies.simple import OpenLoop as OpenLoop
    from handful.policies.simple import UniformPolicy as UniformPolicy
    from handful.propagation.base import AbstractPropagator as AbstractPropagator
    from handful.propagation.moments import DistributionSampling as DistributionSampling
    from handful.propagation.moments import Expectation as Expectation
    from handful.propagation.moments import MomentMatching as MomentMatching
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
    "CEM": "planning.cem",
    "CVaR": "propagation.risk",
    "CartPoleSwingUp": "envs.cartpole",
    "ConstantPolicy": "policies.simple",
    "Dataset": "data.dataset",
    "DistributionSampling": "propagation.moments",
    "Ensemble": "models.ensemble",
    "EnsembleLearner": "models.ensemble_learner",
    "Expectation": "propagation.moments",
    "Features": "data.features",
    "FitReport": "models.base",
    "GaussianNet": "models.networks",
    "ICEM": "planning.icem",
    "InputError": "errors",
    "KnownDynamics": "models.known",
    "Learned": "training.learn",
    "Loop": "training.loop",
    "MPC": "planning.mpc",
    "MPCAgent": "agents.mpc_agent",
    "MPPI": "planning.mppi",
    "Mean": "propagation.risk",
    "MeanStd": "propagation.risk",
    "Minibatches": "models.ensemble_learner",
    "MomentMatching": "propagation.moments",
    "NetworkWorld": "models.ensemble",
    "OpenLoop": "policies.simple",
    "Pendulum": "envs.pendulum",
    "PointMass": "envs.point_mass",
    "Prediction": "types",
    "Problem": "planning.problem",
    "RandomShooting": "planning.shooting",
    "Rate": "models.ensemble_learner",
    "Regulator": "planning.lqr",
    "Rollout": "types",
    "RunFolder": "training.run",
    "Simulated": "training.system",
    "Standardiser": "data.scaling",
    "Step": "types",
    "TS1": "propagation.trajectory_sampling",
    "TSInf": "propagation.trajectory_sampling",
    "Task": "task",
    "Transition": "types",
    "UniformPolicy": "policies.simple",
    "episode": "training.collect",
    "learn": "training.learn",
    "one_step": "models.score",
    "optimise": "planning.base",
    "pets": "agents.pets",
    "pets_paper": "agents.pets",
    "riccati": "planning.lqr",
}
__all__ = [*_HOMES]  # noqa: PLE0604 - the keys of the table, which a test holds against sorted strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'handful' has no attribute {name!r}")
    return getattr(importlib.import_module(f"handful.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
