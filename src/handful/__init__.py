"""handful: learn to control a system in a handful of trials.

More names by theme: `handful.agents`, `handful.envs`, `handful.models`, `handful.planners`, `handful.policies` and
`handful.propagation`.
"""

from typing import TYPE_CHECKING

from handful.lazy import public_names
from handful.version import __version__ as __version__

if TYPE_CHECKING:
    from handful.agent import AbstractAgent as AbstractAgent
    from handful.agents.mpc_agent import MPCAgent as MPCAgent
    from handful.agents.pets import pets as pets
    from handful.agents.pets import pets_learner as pets_learner
    from handful.agents.pets import pets_paper as pets_paper
    from handful.data.dataset import Dataset as Dataset
    from handful.data.features import Features as Features
    from handful.data.loaders import load_log as load_log
    from handful.envs.base import AbstractEnv as AbstractEnv
    from handful.envs.cartpole import CartPoleSwingUp as CartPoleSwingUp
    from handful.envs.pendulum import Pendulum as Pendulum
    from handful.envs.physics import physics_of as physics_of
    from handful.envs.point_mass import PointMass as PointMass
    from handful.errors import InputError as InputError
    from handful.learning import Learned as Learned
    from handful.learning import learn as learn
    from handful.models.base import AbstractDynamics as AbstractDynamics
    from handful.models.base import AbstractLearner as AbstractLearner
    from handful.models.base import FitReport as FitReport
    from handful.models.ensemble_learner import LearningRate as LearningRate
    from handful.models.ensemble_learner import Noise as Noise
    from handful.models.gp.learner import GPLearner as GPLearner
    from handful.models.known import KnownDynamics as KnownDynamics
    from handful.models.linear import LinearLearner as LinearLearner
    from handful.models.physics_laws import Acceleration as Acceleration
    from handful.models.physics_learner import PhysicsLearner as PhysicsLearner
    from handful.models.physics_parameters import Parameter as Parameter
    from handful.models.score import one_step as one_step
    from handful.planning.base import AbstractPlanner as AbstractPlanner
    from handful.planning.base import optimise as optimise
    from handful.planning.cem import CEM as CEM
    from handful.planning.icem import ICEM as ICEM
    from handful.planning.ilqr import ILQR as ILQR
    from handful.planning.problem import Problem as Problem
    from handful.policies.base import AbstractPolicy as AbstractPolicy
    from handful.policies.simple import UniformPolicy as UniformPolicy
    from handful.propagation.base import AbstractPropagator as AbstractPropagator
    from handful.propagation.distribution_sampling import DistributionSampling as DistributionSampling
    from handful.propagation.distribution_sampling import Expectation as Expectation
    from handful.propagation.risk import AbstractRisk as AbstractRisk
    from handful.propagation.trajectory_sampling import TSInf as TSInf
    from handful.task import Task as Task
    from handful.training.model_fit import fit_model as fit_model
    from handful.training.rollout import episode as episode
    from handful.training.run import RunFolder as RunFolder
    from handful.types import Prediction as Prediction
    from handful.types import Rollout as Rollout
    from handful.types import Step as Step
    from handful.types import Transition as Transition

# Each public name and the module it is loaded from when it is first used.
__all__, __dir__, __getattr__ = public_names(
    __name__,
    {
        "AbstractAgent": "agent",
        "AbstractDynamics": "models.base",
        "AbstractEnv": "envs.base",
        "AbstractLearner": "models.base",
        "AbstractPlanner": "planning.base",
        "AbstractPolicy": "policies.base",
        "AbstractPropagator": "propagation.base",
        "AbstractRisk": "propagation.risk",
        "Acceleration": "models.physics_laws",
        "CEM": "planning.cem",
        "CartPoleSwingUp": "envs.cartpole",
        "Dataset": "data.dataset",
        "DistributionSampling": "propagation.distribution_sampling",
        "Expectation": "propagation.distribution_sampling",
        "Features": "data.features",
        "FitReport": "models.base",
        "GPLearner": "models.gp.learner",
        "ICEM": "planning.icem",
        "ILQR": "planning.ilqr",
        "InputError": "errors",
        "KnownDynamics": "models.known",
        "Learned": "learning",
        "LearningRate": "models.ensemble_learner",
        "LinearLearner": "models.linear",
        "MPCAgent": "agents.mpc_agent",
        "Noise": "models.ensemble_learner",
        "Parameter": "models.physics_parameters",
        "Pendulum": "envs.pendulum",
        "PhysicsLearner": "models.physics_learner",
        "PointMass": "envs.point_mass",
        "Prediction": "types",
        "Problem": "planning.problem",
        "Rollout": "types",
        "RunFolder": "training.run",
        "Step": "types",
        "TSInf": "propagation.trajectory_sampling",
        "Task": "task",
        "Transition": "types",
        "UniformPolicy": "policies.simple",
        "episode": "training.rollout",
        "fit_model": "training.model_fit",
        "learn": "learning",
        "load_log": "data.loaders",
        "one_step": "models.score",
        "optimise": "planning.base",
        "pets": "agents.pets",
        "pets_learner": "agents.pets",
        "pets_paper": "agents.pets",
        "physics_of": "envs.physics",
    },
)
