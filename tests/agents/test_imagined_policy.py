"""Agents whose policies learn in imagined trials: what goes on from fit to fit, and that they learn."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.agents.imagined_policy import ImaginedPolicyAgent
from handful.agents.mbpo import mbpo
from handful.agents.me_trpo import me_trpo
from handful.agents.pets_policy import PolicyGuidedAgent
from handful.data.dataset import Dataset
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.learning import learn
from handful.models.linear import LinearLearner
from handful.planning.cem import CEM
from handful.planning.mpc import MPC
from handful.planning.policy_guided import PolicyGuided
from handful.planning.problem import Problem
from handful.policies.simple import ConstantPolicy
from handful.policy_optimization.base import ActorCriticNets
from handful.policy_optimization.improvement import Improvement
from handful.policy_optimization.ppo import PPO
from handful.policy_optimization.reinforce import Reinforce
from handful.policy_optimization.returns import GAE
from handful.propagation.trajectory_sampling import TSInf
from handful.training.system import returns_of
from handful.types import Transition
from named_agents import agent_of
from probes import counted, differ, same, task_of

KEY = jax.random.key(8)
TASK = task_of(lambda obs, action, next_obs: -jnp.sum((next_obs - 0.7) ** 2), 1, [-1.0], [1.4], horizon=5)
DISCOUNT = 0.8


def recorded(rows=4, capacity=9):
    """x' = x + u, from one trial."""
    obs = jnp.linspace(-0.4, 0.9, rows)[:, None]
    action = jnp.linspace(0.5, -0.3, rows)[:, None] ** 2
    no = jnp.zeros(rows, bool)
    return Dataset.empty(TASK, capacity).add(Transition(obs, action, -obs[:, 0], obs + action, no, no), 0)


def small(**settings):
    """Few steps, small nets."""
    optimiser = PPO(
        num_envs=3,
        num_steps=4,
        epochs=2,
        minibatches=2,
        advantages=GAE(DISCOUNT),
        nets=ActorCriticNets(hidden=(5,)),
        scale_rewards=True,
    )
    improvement = Improvement(updates=2, eval_episodes=3, blocks=2, improved_fraction=0.0)
    like = {"improvement": improvement, "length": 4, "worlds": 2} | settings
    return ImaginedPolicyAgent(LinearLearner(), optimiser, **like)


@pytest.fixture(scope="module")
def fit():
    compiled, traces = counted(lambda key, agent, state, data: agent.fit(key, TASK, state, data)[0])
    yield compiled
    assert traces.count == 1  # whatever the data, the weights and the hyperparameters


def test_belief_and_policy_go_on_from_fit_to_fit(fit):
    agent = small()
    start = agent.start(KEY, TASK)
    first = fit(KEY, agent, start, recorded())
    second = fit(KEY, agent, first, recorded(7))
    assert jax.tree.map(jax.typeof, first) == jax.tree.map(jax.typeof, start)
    assert (int(first.policy.updates), int(second.policy.updates)) == (4, 8)
    assert int(second.improved.updates) == int(second.improved.kept) == 4
    assert differ(first.policy.policy.head, second.policy.policy.head)
    assert differ(start.belief, first.belief)


def test_without_updates_the_policy_stays_and_its_std_is_widened(fit):
    agent = small(least_log_std=-0.4, improvement=dataclasses.replace(small().improvement, blocks=0))
    sure = eqx.tree_at(lambda s: s.policy.policy.head.log_std, agent.start(KEY, TASK), jnp.array([-2.5]))
    after = fit(KEY, agent, sure, recorded())
    np.testing.assert_allclose(after.policy.policy.head.log_std, -0.4)
    same(after.policy.policy.head.net, sure.policy.policy.head.net)
    assert int(after.improved.updates) == 0
    bold = eqx.tree_at(lambda s: s.policy.policy.head.log_std, sure, jnp.array([0.3]))
    np.testing.assert_allclose(fit(KEY, agent, bold, recorded()).policy.policy.head.log_std, 0.3)


def test_it_acts_without_noise():
    agent = small()
    policy = agent.policy(TASK, agent.init(KEY, TASK))
    act = jax.jit(lambda key: policy(key, jnp.array([0.3]), policy.init())[0])
    same(act(KEY), act(jax.random.key(1)))


def test_bad_settings():
    with pytest.raises(InputError, match="at least one step in at least one world, got length=0"):
        small(length=0)
    with pytest.raises(InputError, match="must be no longer, got length=9"):
        ImaginedPolicyAgent(LinearLearner(), Reinforce(num_steps=5), length=9)
    with pytest.raises(InputError, match="an actor-critic such as PPO or TRPO; got Reinforce"):
        PolicyGuidedAgent(ImaginedPolicyAgent(LinearLearner(), Reinforce(num_steps=5), length=5), CEM(2), TSInf(2))


@pytest.mark.parametrize("name", ["mbpo", "me-trpo", "pets+policy"])
def test_the_world_of_an_imagined_trial_is_an_option(name):
    """One for a trial is ours; one for every step as published."""
    ours, published = (agent_of(PointMass(), name, **given) for given in ({}, {"world_per": "step"}))
    trained = [getattr(agent, "policy_agent", agent).world_each_step for agent in (ours, published)]
    assert trained == [False, True]


def test_reinforce_learns_in_imagined_trials_shorter_than_those_on_the_system():
    optimiser = Reinforce(num_envs=4, num_steps=3, nets=ActorCriticNets(hidden=(5,)))
    improvement = Improvement(updates=2, eval_episodes=3, blocks=2, improved_fraction=0.0)
    agent = ImaginedPolicyAgent(LinearLearner(), optimiser, improvement, length=3, least_log_std=-0.4)
    state = agent.start(KEY, TASK)
    sure = eqx.tree_at(lambda s: s.policy.policy.head.log_std, state, jnp.array([-9.0]))
    fit = eqx.filter_jit(lambda agent, state: agent.fit(KEY, TASK, state, recorded())[0])
    assert fit(agent, sure).policy.policy.head.log_std > -0.6
    learned = fit(agent, state)
    assert int(learned.policy.updates) == 4
    assert differ(state.policy.policy.head, learned.policy.policy.head)


def test_training_in_the_next_model_forgets_the_trials_of_the_last(fit):
    agent = small(improvement=dataclasses.replace(small().improvement, blocks=0))
    going = eqx.tree_at(lambda s: s.policy.reward_scale.return_, agent.start(KEY, TASK), jnp.array([3.0, -1.0, 2.0]))
    lasting = dataclasses.replace(agent, improvement=dataclasses.replace(agent.improvement, blocks=1))
    clean = eqx.tree_at(lambda s: s.policy.reward_scale.return_, going, jnp.zeros(3))
    same(fit(KEY, lasting, going, recorded()), fit(KEY, lasting, clean, recorded()))


def test_a_planner_gets_policy_value_and_discount():
    """The value is in the units of the reward: what the optimiser divided by is multiplied again."""
    agent = PolicyGuidedAgent(small(), CEM(2, candidates=6, elites=2, iterations=1), TSInf(2))
    state = eqx.tree_at(lambda s: s.learned.policy.reward_scale.moments.var, agent.init(KEY, TASK), jnp.array(6.25))
    controller = agent.policy(TASK, state)
    assert isinstance(controller.planner, PolicyGuided)
    assert controller.problem.terminal_value is not None
    obs = jnp.array([0.3])
    np.testing.assert_allclose(controller.problem.terminal_value(obs), 2.5 * state.learned.policy.value(obs), rtol=1e-6)
    np.testing.assert_allclose(controller.problem.ranking_discount, DISCOUNT)
    assert controller.problem.task.discount == TASK.discount != controller.problem.ranking_discount
    ours, _ = controller.planner.policy(KEY, obs, None)
    expected, _ = agent.policy_agent.policy(TASK, state)(KEY, obs, None)
    same(ours, expected)


def brief(agent, length, envs=8):
    """Few steps an update, few trials to try a policy in."""
    improvement = dataclasses.replace(agent.improvement, eval_episodes=4, blocks=12)
    optimiser = dataclasses.replace(agent.optimiser, num_envs=envs, num_steps=length)
    return dataclasses.replace(agent, improvement=improvement, optimiser=optimiser)


# Zero action brings a mass about -106, random action -1040, the regulator -14 at best.
@pytest.mark.arithmetic
def test_me_trpo_brings_a_mass_to_rest():
    """The median of seeds: one in ten does worse than nothing, having trained where its random trial drifted off to."""
    agent = brief(me_trpo("pendulum", learner=LinearLearner(), length=25), 50, 32)  # a discount short enough here too
    last = [learn(PointMass(), agent, trials=2, seed=seed).returns[-1] for seed in range(3)]
    assert np.median(last) > -100, last


def test_mbpo_brings_a_mass_to_rest_and_helps_a_planner_of_three_steps():
    """From the same four starts: the planner that it helped, its own policy, the planner by itself, and zero action."""
    task, trained = PointMass().task, brief(mbpo("pendulum", learner=LinearLearner(), length=25), 50)
    agent = PolicyGuidedAgent(trained, CEM(3, candidates=30, elites=5, iterations=2), TSInf(5))
    learned = learn(PointMass(), agent, trials=2, seed=1)
    by_itself = MPC(agent.planner, Problem(task, learned.model, agent.propagator))
    policies = (
        learned.policy,
        trained.policy(task, learned.state),
        by_itself,
        ConstantPolicy(jnp.zeros(task.action_size)),
    )
    starts = jax.random.split(KEY, 4)
    helped, alone, short, zero = (float(np.mean(returns_of(starts, PointMass(), policy))) for policy in policies)
    assert alone > 0.6 * zero
    assert helped > short + 0.2 * abs(zero)
