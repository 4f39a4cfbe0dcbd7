"""Hyperparameters with which nothing could be learned are refused when they are set, in one sentence."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from handful.agents.dynamic_programming import DPAgent
from handful.agents.policy_search import Ascent
from handful.data.grid import Grid
from handful.errors import InputError
from handful.optimiser import Adam
from handful.planning.categorical_cem import CategoricalCEM
from handful.planning.gradient import GradientPlanner
from handful.planning.icem import ICEM
from handful.planning.ilqr import ILQR
from handful.planning.mppi import MPPI
from handful.planning.problem import Problem
from handful.policies.discrete_actions import DiscreteActions, EpsilonGreedy
from handful.policy_optimization.actor_critic import a2c
from handful.policy_optimization.base import ActorCriticNets
from handful.policy_optimization.baselines import LearnedValue
from handful.policy_optimization.improvement import Improvement
from handful.policy_optimization.penalty import Doubling, DualDescent, Fixed
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.reinforce import Reinforce
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.surrogate import Clipped
from handful.policy_optimization.trpo import TRPO, TrustRegion
from handful.propagation.risk import CVaR, MeanStd
from handful.values.dqn import DQN
from handful.values.dyna import DynaQ
from handful.values.linear_features import Cells
from handful.values.temporal_difference import TD0, TemporalDifference

GRID = Grid.of_states(3)
ACTIONS = DiscreteActions(jnp.eye(2))


class TerminalDiscount(Problem):
    """A problem without parts, of which only the discount is looked at."""

    def __init__(self, discount):
        self.task = self.model = self.propagator = self.risk = self.mesh = self.terminal_value = None
        self.discount = discount


def td(**settings):
    return TemporalDifference(Cells(GRID), **settings)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Adam(learning_rate=np.nan), "learning_rate must be at least 0, got nan"),
        (lambda: Adam(decay_updates=0), "decay_updates must be above 0, got 0"),
        (lambda: Adam(max_grad_norm=0.0), "max_grad_norm must be above 0, got 0"),
        (lambda: Adam(epsilon=0.0), "epsilon must be above 0, got 0"),
        (lambda: PPO(num_envs=0), "num_envs must be at least 1, got 0"),
        (lambda: PPO(num_steps=0), "num_steps must be at least 1, got 0"),
        (lambda: PPO(epochs=0), "epochs must be at least 1, got 0"),
        (lambda: PPO(entropy_coef=-0.1), "entropy_coef must be at least 0, got -0.1"),
        (lambda: PPO(value_coef=-0.5), "value_coef must be at least 0, got -0.5"),
        (lambda: PPO(num_envs=2, num_steps=3, minibatches=7), "minibatches must be between 1 and the 6 steps .* got 7"),
        (lambda: PPO(num_envs=2, num_steps=3, minibatches=0), "minibatches must be between 1 and the 6 .* got 0"),
        (lambda: a2c(learning_rate=-1e-3), "learning_rate must be at least 0, got -0.001"),
        (lambda: Clipped(clip_eps=0.0), "clip_eps must be above 0, got 0"),
        (lambda: TrustRegion(fisher_subsampling=0), "fisher_subsampling must be at least 1, got 0"),
        (lambda: TrustRegion(cg_iterations=0), "cg_iterations must be at least 1, got 0"),
        (lambda: TrustRegion(backtrack_iters=0), "backtrack_iters must be at least 1, got 0"),
        (lambda: TrustRegion(backtrack_coeff=1.5), "backtrack_coeff must be above 0 and at most 1, got 1.5"),
        (lambda: TrustRegion(delta=0.0), "delta must be above 0, got 0"),
        (lambda: TrustRegion(damping=-0.1), "damping must be at least 0, got -0.1"),
        (lambda: TRPO(value_epochs=0), "value_epochs must be at least 1, got 0"),
        (lambda: TRPO(num_envs=3, num_steps=5), "value_minibatches must be between 1 and the 15 steps .* got 16"),
        (lambda: Reinforce(num_envs=0), "num_envs must be at least 1, got 0"),
        (lambda: Reinforce(discount=1.1), "discount must be from 0 to 1, got 1.1"),
        (lambda: LearnedValue(batch_size=0), "batch_size must be at least 1, got 0"),
        (lambda: GAE(discount=1.5), "discount must be from 0 to 1, got 1.5"),
        (lambda: GAE(gae_lambda=-0.1), "gae_lambda must be from 0 to 1, got -0.1"),
        (lambda: DualDescent(target=0.0), "target must be above 0, got 0"),
        (lambda: DualDescent(beta=0.0), "beta must be above 0, got 0"),
        (lambda: Doubling(target=-1.0), "target must be above 0, got -1"),
        (lambda: Fixed(beta=-1.0), "beta must be at least 0, got -1"),
        (lambda: Improvement(eval_episodes=0), "eval_episodes must be at least 1, got 0"),
        (lambda: Improvement(improved_fraction=1.2), "improved_fraction must be from 0 to 1, got 1.2"),
        (lambda: EpsilonGreedy(jnp.negative, ACTIONS, 1.5), "epsilon must be from 0 to 1, got 1.5"),
        (lambda: DQN(num_envs=0), "num_envs must be at least 1, got 0"),
        (lambda: DQN(discount=1.5), "discount must be from 0 to 1, got 1.5"),
        (lambda: DQN(tau=-0.1), "tau must be from 0 to 1, got -0.1"),
        (lambda: DQN(learning_rate=-1.0), "learning_rate must be at least 0, got -1"),
        (lambda: DQN(huber_delta=0.0), "huber_delta must be above 0, got 0"),
        (lambda: DQN(max_grad_norm=0.0), "max_grad_norm must be above 0, got 0"),
        (lambda: DQN(exploration_steps=-1), "exploration_steps must be at least 0, got -1"),
        (lambda: DQN(target_update_every=0), "target_update_every must be at least 1, got 0"),
        (lambda: td(num_steps=0), "num_steps must be at least 1, got 0"),
        (lambda: td(epsilon=-0.2), "epsilon must be from 0 to 1, got -0.2"),
        (lambda: td(learning_rate=-0.2), "learning_rate must be at least 0, got -0.2"),
        (lambda: td(lr_halving_steps=0.0), "lr_halving_steps must be above 0, got 0"),
        (lambda: TD0(None, Cells(GRID), discount=-0.5), "discount must be from 0 to 1, got -0.5"),
        (lambda: DynaQ(td(), planning_steps=-1), "planning_steps must be at least 0, got -1"),
        (lambda: td(learning_rate=1.5), "learning_rate must be from 0 to 1, got 1.5"),
        (lambda: Improvement(improved_fraction=np.nan), "improved_fraction must be from 0 to 1, got nan"),
        (lambda: TerminalDiscount(1.5), "discount must be from 0 to 1, got 1.5"),
        (lambda: TerminalDiscount(np.nan), "discount must be from 0 to 1, got nan"),
        (lambda: PPO(nets=ActorCriticNets(hidden=(8, 0))), "hidden layers must have .* got hidden=.8, 0."),
        (lambda: LearnedValue(hidden=(-3,)), "hidden layers must have at least one unit each"),
        (lambda: DQN(hidden=(0,)), "hidden layers must have at least one unit each"),
        (lambda: Ascent(horizon=0), "horizon must be at least 1, got 0"),
        (lambda: Ascent(starts=0), "starts must be at least 1, got 0"),
        (lambda: Ascent(steps=-1), "steps must be at least 0, got -1"),
        (lambda: Ascent(rate=np.nan), "rate must be at least 0, got nan"),
        (lambda: Ascent(clip=0.0), "clip must be above 0, got 0"),
        (lambda: DPAgent(GRID, num_steps=0), "num_steps must be at least 1, got 0"),
        (lambda: DPAgent(GRID, first_colour=-1.0), "first_colour must be at least 0, got -1"),
        (lambda: DPAgent(GRID, discount=1.2), "discount must be from 0 to 1, got 1.2"),
    ],
)
def test_hyperparameters_with_which_nothing_could_be_learned(make, says):
    with pytest.raises(InputError, match=f"^{says}"):
        make()


UNBOUNDED = {  # fields of which an infinite value has a meaning: no limit, or no decay
    Ascent: {"clip"},
    Adam: {"decay_updates", "max_grad_norm"},
    Clipped: {"clip_eps"},
    DQN: {"lr_decay_steps", "huber_delta", "max_grad_norm", "learning_rate"},  # with the last every update is undone
    TrustRegion: {"decay_updates"},
}
FREE = (ActorCriticNets, MeanStd)  # classes with a field that may have either sign
NUMERIC = [
    *(Adam, PPO, TRPO, TrustRegion, Reinforce, GAE, Clipped, DualDescent, Doubling, Fixed, Improvement, LearnedValue),
    *(DQN, Ascent, ActorCriticNets, MeanStd, CVaR, MPPI, ICEM, CategoricalCEM, GradientPlanner, ILQR),
]


def reals(kind):
    """The numbers among the fields of a class that need no arguments."""
    made = kind()
    return [name for name, value in vars(made).items() if isinstance(value, float) or eqx.is_inexact_array(value)]


@pytest.mark.parametrize("kind", NUMERIC)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.5])
def test_no_field_is_a_number_that_spoils_all_that_follows(kind, value):
    """NaN and infinity everywhere but where infinity means no limit; below zero but where both signs have a meaning."""
    for name in reals(kind):
        if (value == np.inf and name in UNBOUNDED.get(kind, ())) or (value == -0.5 and kind in FREE):
            kind(**{name: value})
        else:
            with pytest.raises(InputError, match=rf"{name}|decay"):
                kind(**{name: value})


@pytest.mark.parametrize("kind", NUMERIC)
def test_no_size_is_below_one(kind):
    """Whole numbers that are counts; some may be zero, none less."""
    made = kind()
    for name, value in vars(made).items():
        integer = isinstance(value, int) and not isinstance(value, bool)
        if integer or (eqx.is_array(value) and not eqx.is_inexact_array(value)):
            with pytest.raises(InputError):
                kind(**{name: -1})
