"""One line per member of each family. A new model, propagator, planner, policy, risk, learner or task adds its line."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from handful.data.dataset import Dataset
from handful.data.features import Features
from handful.data.grid import Axis, Grid
from handful.data.scaling import Standardiser
from handful.envs.acrobot import Acrobot
from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.cartpole_v1 import CartPoleV1
from handful.envs.mountain_car import MountainCar
from handful.envs.pendulum import Pendulum
from handful.envs.pendulum_v1 import PendulumV1
from handful.envs.point_mass import PointMass
from handful.fields import real
from handful.models.ensemble_learner import EnsembleLearner
from handful.models.gp.learner import GPLearner
from handful.models.known import KnownDynamics
from handful.models.linear import LinearLearner
from handful.models.physics_laws import Derivative
from handful.models.physics_learner import PhysicsLearner
from handful.models.physics_parameters import Parameter
from handful.models.recalibrated import Recalibrated
from handful.models.residual import Residual
from handful.models.trust import Trust
from handful.optimiser import Adam
from handful.planning.categorical_cem import CategoricalCEM
from handful.planning.cem import CEM
from handful.planning.gradient import GradientPlanner
from handful.planning.icem import ICEM
from handful.planning.ilqr import ILQR
from handful.planning.mpc import MPC
from handful.planning.mppi import MPPI
from handful.planning.policy_guided import PolicyGuided
from handful.planning.problem import Problem
from handful.planning.shooting import RandomShooting
from handful.policies.discrete_actions import DiscreteActions, EpsilonGreedy
from handful.policies.mlp import MLP
from handful.policies.radial import RadialPolicy
from handful.policies.simple import ConstantPolicy, OpenLoop, UniformPolicy
from handful.policies.stochastic import Mode, StochasticPolicy
from handful.policy_optimization.actor_critic import a2c
from handful.policy_optimization.base import ActorCriticNets
from handful.policy_optimization.baselines import LearnedValue
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.reinforce import Reinforce
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.surrogate import Penalised
from handful.policy_optimization.trpo import TRPO, TrustRegion
from handful.propagation.distribution_sampling import DistributionSampling, Expectation, MomentMatching
from handful.propagation.epistemic_only import EpistemicOnly, MeanDynamics
from handful.propagation.risk import CVaR, Mean, MeanStd
from handful.propagation.trajectory_sampling import TS1, TSInf
from handful.types import Transition
from handful.values.dqn import DQN
from handful.values.dyna import DynaQ
from handful.values.linear_features import Cells, Fourier, Tiles
from handful.values.temporal_difference import ExpectedSarsa, Sarsa, TemporalDifference
from probes import Linear, at, jitted, shaken, task_of

MEMBERS, PARTICLES, HORIZON = 3, 6, 4
OBS = jnp.array([0.4, 2.7, -1.3])
ACTION = jnp.array([0.6, -0.35])


def reward(obs, action, next_obs):
    return jnp.cos(next_obs[1]) - 0.3 * next_obs[0] ** 2 - 0.05 * action @ action


# Three entries, the second an angle; two actions with different limits, neither symmetric.
TASK = task_of(reward, 3, [-1.0, -0.8], [1.5, 0.4], angles=(1,), horizon=9, discount=0.97)
CHOICE = task_of(reward, 3, [0.0, 0.0], [1.0, 1.0], angles=(1,), horizon=9, discount=0.97, categorical=True)
PLAN = TASK.low + (TASK.high - TASK.low) * jnp.linspace(0.1, 0.8, HORIZON * 2).reshape(HORIZON, 2)


@functools.cache
def ensemble():
    learner = EnsembleLearner(hidden=(7, 5), weight_decay=jnp.array([1e-4, 2e-4, 3e-4]), members=MEMBERS)
    offsets = 0.1 * jnp.arange(1.0, MEMBERS + 1)[:, None] * jnp.array([1.0, -2.0, 3.0, 0.5, 1.0, -0.5])
    last = lambda belief: belief.members.net.biases[-1]

    def make(key, task):
        belief = shaken(learner.model(learner.init(key, task)))
        return eqx.tree_at(last, belief, last(belief) + offsets)

    return jitted(make, jax.random.key(11), TASK)


@functools.cache
def network_world():
    return at(ensemble().members, 1)


@functools.cache
def known():
    A = jnp.array([[1.0, 0.05, 0.1], [0.0, 0.9, 0.2], [-0.3, 0.0, 0.95]])
    return KnownDynamics(Linear(A, jnp.array([[0.1, 0.0], [0.3, -0.2], [0.0, 0.5]])))


@functools.cache
def recorded():
    """12 noisy transitions of `known`."""
    obs_key, action_key, noise_key = jax.random.split(jax.random.key(3), 3)
    obs = jax.random.normal(obs_key, (12, 3))
    action = jax.random.uniform(action_key, (12, 2), minval=TASK.low, maxval=TASK.high)
    step = lambda key, obs, action: jax.vmap(known().function)(obs, action) + 0.1 * jax.random.normal(key, (12, 3))
    following = jitted(step, noise_key, obs, action)
    no = jnp.zeros(12, bool)
    return Dataset.empty(TASK, 12).add(Transition(obs, action, jnp.ones(12), following, no, no), 0)


@functools.cache
def bayesian_linear():
    learner = LinearLearner(ridge=0.5, noise_scale=0.1)
    fit = lambda key, task, data: learner.fit(key, learner.init(jax.random.key(1), task), data)
    state, _ = jitted(fit, jax.random.key(0), TASK, recorded())
    return learner.model(state)


def one_world(belief):
    return at(jitted(belief.worlds, jax.random.key(2), 3), 1)


@functools.cache
def gaussian_process():
    learner = GPLearner(max_points=12)

    def make(key, task):
        belief = learner.model(learner.init(key, task))
        obs = OBS + jnp.linspace(-1.2, 0.9, 27).reshape(9, 3)
        action = ACTION + jnp.linspace(-0.5, 0.4, 18).reshape(9, 2)
        return belief.append(obs, action, obs + 0.3 * jnp.sin(obs) + 0.2 * action.sum(1, keepdims=True))

    return jitted(make, jax.random.key(11), TASK)


class Drift(eqx.Module):
    """A mechanism with one known constant and two unknown ones."""

    turn: Array = real(0.7)

    def __call__(self, obs, action, p):
        return jnp.stack([p["gain"] * action[0] + obs[2], self.turn * jnp.sin(obs[1]), p["drag"] * obs[2] * action[1]])


@functools.cache
def physics():
    parameters = [Parameter("gain", 1.3, low=0.0), Parameter("drag", 0.6, low=-1.0, high=2.0)]
    learner = PhysicsLearner(Derivative(Drift()), parameters, noise=0.05)
    belief = learner.model(jitted(learner.init, jax.random.key(3), TASK))
    return eqx.tree_at(lambda b: b.centre, belief, belief.centre + jnp.array([0.3, -0.2]))  # off the guess


@functools.cache
def residual():
    """Trust is between none and all at `OBS`, so that both parts count."""
    features = Features.of(TASK)
    anchors = jitted(features.inputs, OBS, ACTION) + jnp.linspace(0.4, 1.3, 24).reshape(4, 6)
    numbers = (jnp.asarray(value, jnp.float32) for value in (1.1, 0.9, 0.8))
    trust = Trust(Standardiser.identity(6), anchors, *numbers)
    return Residual(known(), bayesian_linear(), trust, features)


MODELS = {
    "Ensemble": ensemble,
    "NetworkWorld": network_world,
    "KnownDynamics": known,
    "Recalibrated": lambda: Recalibrated(ensemble(), 1.4),
    "MeanDynamics": lambda: MeanDynamics(bayesian_linear()),
    "BayesianLinear": bayesian_linear,
    "LinearWorld": functools.cache(lambda: one_world(bayesian_linear())),
    "GaussianProcess": gaussian_process,
    "GPWorld": functools.cache(lambda: one_world(gaussian_process())),
    "Physics": physics,
    "PhysicsWorld": functools.cache(lambda: one_world(physics())),
    "Residual": residual,
    "ResidualWorld": functools.cache(lambda: one_world(residual())),
}

BELIEFS = [name for name in MODELS if not name.endswith("World")]

PROPAGATORS = {
    "TSInf": lambda: TSInf(PARTICLES),
    "TS1": lambda: TS1(PARTICLES),
    "DistributionSampling": lambda: DistributionSampling(PARTICLES),
    "MomentMatching": lambda: MomentMatching(PARTICLES),
    "Expectation": Expectation,
    "EpistemicOnly": lambda: EpistemicOnly(TS1(PARTICLES)),
}

RISKS = {"Mean": Mean, "MeanStd": lambda: MeanStd(-0.7), "CVaR": lambda: CVaR(0.4)}

PLANNERS = {
    "RandomShooting": lambda: RandomShooting(HORIZON, candidates=30, iterations=2),
    "CEM": lambda: CEM(HORIZON, candidates=24, elites=5, iterations=3),
    "CategoricalCEM": lambda: CategoricalCEM(HORIZON, candidates=12, elites=3, iterations=2),
    "ICEM": lambda: ICEM(HORIZON, candidates=24, elites=5, iterations=3, keep=2),
    "ILQR": lambda: ILQR(HORIZON, iterations=3),
    "GradientPlanner": lambda: GradientPlanner(HORIZON, starts=3, iterations=4),
    "MPPI": lambda: MPPI(HORIZON, candidates=20, iterations=2),
    "PolicyGuided": lambda: PolicyGuided(CEM(HORIZON, candidates=24, elites=5, iterations=2), ConstantPolicy(ACTION)),
}


def problem(model=None, propagator=None, risk=None, task=TASK):
    return Problem(task, model or ensemble(), propagator or TSInf(PARTICLES), risk or Mean())


def task_for(planner):
    """The task whose actions are of the planner's kind."""
    return CHOICE if planner == "CategoricalCEM" else TASK


POLICIES = {
    "UniformPolicy": lambda: UniformPolicy.of(TASK),
    "ConstantPolicy": lambda: ConstantPolicy(ACTION),
    "OpenLoop": lambda: OpenLoop(PLAN),
    "RadialPolicy": functools.cache(
        lambda: jitted(
            RadialPolicy.covering,
            *(jax.random.key(5), TASK, OBS + jnp.linspace(-1.0, 2.0, 12).reshape(4, 3), jnp.ones(4, bool), 5),
        )
    ),
    "MPC": lambda: MPC(CEM(HORIZON, candidates=24, elites=5, iterations=3), problem()),
    "StochasticPolicy": lambda: jitted(StochasticPolicy.gaussian, jax.random.key(5), TASK, (5,)),
    "EpsilonGreedy": lambda: EpsilonGreedy(jitted(MLP.init, jax.random.key(5), (3, 7, 9)), DiscreteActions.of(TASK, 3)),
    "Mode": lambda: Mode(
        jitted(lambda key: StochasticPolicy.gaussian(key, TASK, (5,), squash=True), jax.random.key(5))
    ),
}

FORESIGHT = GAE(discount=0.6, gae_lambda=0.8)
FEW = {"num_envs": 8, "num_steps": 4, "nets": ActorCriticNets((8,)), "advantages": FORESIGHT}
QUICK = Adam(learning_rate=0.03, max_grad_norm=jnp.inf)

STEPS = {"num_envs": 8, "num_steps": 4, "discount": 0.6, "exploration_steps": 1000, "epsilon": 0.02}


def cut(task):
    """A few cells of every entry."""
    return Grid(tuple(Axis(entry, 3, -2.0, 2.0) for entry in range(task.obs_size)), task.obs_size)


# Small, quick, with the discount of the crossroads; of a task, for those that must know what is seen.
LEARNERS = {
    "PPO": lambda task: PPO(**FEW, epochs=3, minibatches=2, adam=QUICK),
    "PPO-penalty": lambda task: PPO(
        **FEW | {"nets": ActorCriticNets((8,), squash=True, standardise=True)},
        epochs=3,
        minibatches=2,
        surrogate=Penalised(),
        adam=QUICK,
    ),
    "A2C": lambda task: a2c(**FEW, learning_rate=0.03),
    "TRPO": lambda task: TRPO(
        **FEW,
        region=TrustRegion(delta=0.03, decay_updates=200, cg_iterations=4),
        adam=QUICK,
        value_epochs=3,
        value_minibatches=2,
    ),
    "REINFORCE": lambda task: Reinforce(
        num_envs=8,
        num_steps=task.horizon,
        discount=0.6,
        baseline=LearnedValue((8,), QUICK, gradient_steps=5, batch_size=16),
        nets=ActorCriticNets((8,)),
        adam=QUICK,
    ),
    "DQN": lambda task: DQN(
        num_envs=8,
        num_steps=4,
        hidden=(8,),
        capacity=500,
        batch_size=16,
        gradient_steps=10,
        discount=0.6,
        learning_rate=0.02,
        target_update_every=10,
        learning_starts=0,
        exploration_steps=1000,
        epsilon=0.02,
    ),
    "Q-learning": lambda task: TemporalDifference(Fourier(cut(task), order=1), **STEPS),
    "SARSA": lambda task: TemporalDifference(Tiles(cut(task), tilings=2), Sarsa(), **STEPS),
    "expected SARSA": lambda task: TemporalDifference(Cells(cut(task)), ExpectedSarsa(), **STEPS),
    "Dyna-Q": lambda task: DynaQ(TemporalDifference(Cells(cut(task)), **STEPS), planning_steps=2),
}

CONTINUOUS = {"PPO-penalty", "TRPO"}  # learners that are tried on continuous actions; the others, on categories

# What a learner's state tells of an observation's worth, of learners that have learned such a thing.
LEARNED_VALUES = {
    "PPO": lambda state, obs: state.value(obs),
    "PPO-penalty": lambda state, obs: state.value(obs),
    "A2C": lambda state, obs: state.value(obs),
    "TRPO": lambda state, obs: state.value(obs),
    "DQN": lambda state, obs: state.nets.online(obs).max(),
    "Q-learning": lambda state, obs: state.values(obs).max(),
    "SARSA": lambda state, obs: state.values(obs).max(),
    "expected SARSA": lambda state, obs: state.values(obs).max(),
    "Dyna-Q": lambda state, obs: state.td.values(obs).max(),
}

ENVS = {
    "CartPoleSwingUp": CartPoleSwingUp,
    "Pendulum": Pendulum,
    "PointMass": PointMass,
    "CartPoleV1": CartPoleV1,
    "Acrobot": Acrobot,
    "PendulumV1": PendulumV1,
    "MountainCar": MountainCar,
}
