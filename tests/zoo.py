"""One line per member of each family. A new model, propagator, planner, policy, risk or task adds its line here."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp

from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.pendulum import Pendulum
from handful.envs.point_mass import PointMass
from handful.models.ensemble_learner import EnsembleLearner
from handful.models.known import KnownDynamics
from handful.planning.cem import CEM
from handful.planning.icem import ICEM
from handful.planning.mpc import MPC
from handful.planning.mppi import MPPI
from handful.planning.problem import Problem
from handful.planning.shooting import RandomShooting
from handful.policies.simple import ConstantPolicy, OpenLoop, UniformPolicy
from handful.propagation.moments import DistributionSampling, Expectation, MomentMatching
from handful.propagation.risk import CVaR, Mean, MeanStd
from handful.propagation.trajectory_sampling import TS1, TSInf
from probes import Linear, shaken, task_of

MEMBERS, PARTICLES, HORIZON = 3, 6, 4
OBS = jnp.array([0.4, 2.7, -1.3])
ACTION = jnp.array([0.6, -0.35])


def reward(obs, action, next_obs):
    return jnp.cos(next_obs[1]) - 0.3 * next_obs[0] ** 2 - 0.05 * action @ action


# Three entries, the second an angle; two actions with different limits, neither symmetric.
TASK = task_of(reward, 3, [-1.0, -0.8], [1.5, 0.4], angles=(1,), horizon=9, discount=0.97)
PLAN = TASK.low + (TASK.high - TASK.low) * jnp.linspace(0.1, 0.8, HORIZON * 2).reshape(HORIZON, 2)


@functools.cache
def ensemble():
    learner = EnsembleLearner(hidden=(7, 5), decay=jnp.array([1e-4, 2e-4, 3e-4]), members=MEMBERS)
    belief = shaken(learner.model(learner.init(jax.random.key(11), TASK)))
    offsets = 0.1 * jnp.arange(1.0, MEMBERS + 1)[:, None] * jnp.array([1.0, -2.0, 3.0, 0.5, 1.0, -0.5])
    last = lambda belief: belief.members.net.biases[-1]  # noqa: E731
    return eqx.tree_at(last, belief, last(belief) + offsets)


def network_world():
    return jax.tree.map(lambda leaf: leaf[1], ensemble().members)


def known():
    A = jnp.array([[1.0, 0.05, 0.1], [0.0, 0.9, 0.2], [-0.3, 0.0, 0.95]])
    return KnownDynamics(Linear(A, jnp.array([[0.1, 0.0], [0.3, -0.2], [0.0, 0.5]])))


MODELS = {"Ensemble": ensemble, "NetworkWorld": network_world, "KnownDynamics": known}

PROPAGATORS = {
    "TSInf": lambda: TSInf(PARTICLES),
    "TS1": lambda: TS1(PARTICLES),
    "DistributionSampling": lambda: DistributionSampling(PARTICLES),
    "MomentMatching": lambda: MomentMatching(PARTICLES),
    "Expectation": Expectation,
}

RISKS = {"Mean": Mean, "MeanStd": lambda: MeanStd(-0.7), "CVaR": lambda: CVaR(0.4)}

PLANNERS = {
    "RandomShooting": lambda: RandomShooting(HORIZON, candidates=30, iterations=2),
    "CEM": lambda: CEM(HORIZON, candidates=24, elites=5, iterations=3),
    "ICEM": lambda: ICEM(HORIZON, candidates=24, elites=5, iterations=3, keep=2),
    "MPPI": lambda: MPPI(HORIZON, candidates=20, iterations=2),
}


def problem(model=None, propagator=None, risk=None):
    return Problem(TASK, model or ensemble(), propagator or TSInf(PARTICLES), risk or Mean())


POLICIES = {
    "UniformPolicy": lambda: UniformPolicy.of(TASK),
    "ConstantPolicy": lambda: ConstantPolicy(ACTION),
    "OpenLoop": lambda: OpenLoop(PLAN),
    "MPC": lambda: MPC(CEM(HORIZON, candidates=24, elites=5, iterations=3), problem()),
}

ENVS = {"CartPoleSwingUp": CartPoleSwingUp, "Pendulum": Pendulum, "PointMass": PointMass}
