"""Hyperparameters with which nothing could be learned are refused when they are set, in one sentence."""

import jax.numpy as jnp
import numpy as np
import pytest

from handful.agents.dynamic_programming import DPAgent
from handful.data.grid import Grid
from handful.errors import InputError
from handful.optimiser import Adam
from handful.policies.discrete_actions import DiscreteActions, EpsilonGreedy
from handful.policy_optimization.actor_critic import a2c
from handful.policy_optimization.baselines import LearnedValue
from handful.policy_optimization.improvement import Improvement
from handful.policy_optimization.penalty import Doubling, DualDescent, Fixed
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.reinforce import Reinforce
from handful.policy_optimization.returns import GAE
from handful.policy_optimization.surrogate import Clipped
from handful.policy_optimization.trpo import TRPO, TrustRegion
from handful.values.dqn import DQN
from handful.values.dyna import DynaQ
from handful.values.linear_features import Cells
from handful.values.temporal_difference import TD0, TemporalDifference

GRID = Grid.of_states(3)
ACTIONS = DiscreteActions(jnp.eye(2))


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
        (lambda: DPAgent(GRID, discount=1.2), "discount must be from 0 to 1, got 1.2"),
    ],
)
def test_hyperparameters_with_which_nothing_could_be_learned(make, says):
    with pytest.raises(InputError, match=f"^{says}"):
        make()
