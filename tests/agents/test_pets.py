"""PETS learns: from a handful of trials to returns that no untrained controller reaches; and its published settings."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.agents.pets import pets, pets_paper
from handful.agents.pets_settings import SETTINGS
from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.pendulum import Pendulum
from handful.envs.point_mass import PointMass
from handful.envs.registry import TASKS, info_of
from handful.learning import learn
from handful.planning.cem import CEM
from handful.planning.icem import ICEM
from handful.policies.simple import ConstantPolicy, UniformPolicy
from handful.propagation.epistemic_only import EpistemicOnly
from handful.propagation.trajectory_sampling import TSInf
from handful.training.rollout import episode
from handful.training.system import returns_of
from handful.types import Batch
from named_agents import agent_of
from probes import jitted, same

SEEDS = [0]


def quick(agent, steps, **learner):
    """The same agent with shorter fits."""
    batches = dataclasses.replace(agent.learner.minibatches, min_steps=steps, max_steps=steps)
    return dataclasses.replace(agent, learner=dataclasses.replace(agent.learner, minibatches=batches, **learner))


def mean_returns(env, learned, seed):
    """Learned, zero and random action from the same eight fresh starts, so that luck with a start does not count."""
    starts, task = jax.random.split(jax.random.key(100 + seed), 8), env.task
    policies = (learned.policy, ConstantPolicy(jnp.zeros(task.action_size)), UniformPolicy.of(task))
    return [float(np.mean(returns_of(starts, env, policy))) for policy in policies]


@pytest.mark.parametrize("seed", SEEDS)
def test_it_brings_a_mass_to_rest(seed):
    """At most half of what zero action costs, after three controlled trials (seen: a quarter)."""
    agent = quick(pets(members=3, particles=3, horizon=10), 600, hidden=(24, 24))
    learned = learn(PointMass(), agent, trials=3, seed=seed)
    ours, zero, random = mean_returns(PointMass(), learned, seed)
    assert ours > 0.5 * zero > random


@pytest.mark.slow
@pytest.mark.arithmetic
@pytest.mark.parametrize("seed", SEEDS)
def test_it_swings_a_pendulum_up(seed):
    """A mean of -400 after four controlled trials (seen: -180, -168); zero and random action stay below -1000."""
    agent = quick(pets(members=3, particles=3, horizon=20), 1000, hidden=(24, 24))
    learned = learn(Pendulum(), agent, trials=4, seed=seed)
    ours, zero, random = mean_returns(Pendulum(), learned, seed)
    assert ours > -400
    assert max(zero, random) < -1000
    assert learned.model.world_count == 3


def test_published_settings():
    """[Chua18] appendix A and the released code, for cart-pole."""
    agent = pets_paper()
    learner, planner = agent.learner, agent.planner
    assert learner.hidden == (500, 500, 500)
    np.testing.assert_allclose(learner.weight_decay, [1e-4, 2.5e-4, 2.5e-4, 5e-4])
    assert (learner.members, learner.minibatches.batch_size, float(learner.minibatches.epochs)) == (5, 32, 5.0)
    assert learner.minibatches.bootstrap
    assert not learner.minibatches.holdout
    assert not learner.scale_targets
    assert learner.minibatches.shuffled
    assert learner.noise.learned
    assert learner.noise.shared
    assert not agent.same_noise
    assert (learner.noise.lower, learner.noise.upper) == (-10.0, 0.5)
    assert [float(learner.learning_rate(jnp.asarray(done))) for done in (0.0, 0.4, 1.0)] == pytest.approx([1e-3] * 3)
    assert float(learner.noise.beta) == 0.0
    assert isinstance(planner, CEM)
    assert (planner.candidates, planner.elites, planner.iterations, planner.horizon) == (400, 40, 5, 25)
    assert float(planner.smoothing) == pytest.approx(0.1)
    assert (type(agent.propagator), agent.propagator.particles) == (TSInf, 20)
    evaluations = planner.candidates * planner.iterations * planner.horizon * agent.propagator.particles
    assert evaluations == 1_000_000


def test_paper_on_the_command_line_is_the_published_agent():
    """And its parts that are not of the cart-pole's experiment: moments of changes, the control cost of MPPI."""
    mine, built = pets_paper(), agent_of(CartPoleSwingUp(), task="cartpole-swingup", paper=True)
    learner = dataclasses.replace(built.learner, mesh=None)
    assert jax.tree.structure(learner) == jax.tree.structure(mine.learner)
    same(eqx.filter(learner, eqx.is_array), eqx.filter(mine.learner, eqx.is_array))
    assert built.same_noise == mine.same_noise
    assert jax.tree.structure(built.planner) == jax.tree.structure(mine.planner)
    other = agent_of(CartPoleSwingUp(), paper=True, propagation="mm", planner="mppi", held_out=True)
    assert other.propagator.of_changes
    assert float(other.planner.control_cost) == 1.0
    assert not other.learner.noise.shared
    usual = agent_of(CartPoleSwingUp(), propagation="mm", planner="mppi")
    assert not usual.propagator.of_changes
    assert float(usual.planner.control_cost) == 0.0
    assert usual.same_noise
    assert not usual.learner.minibatches.shuffled
    assert not usual.learner.noise.shared


PUBLISHED = {  # hidden layers, learning rate, candidates, horizon; model evaluations of a plan
    "reacher-7dof": (4 * (200,), 7.5e-4, 400, 25, 1_000_000),
    "pusher-7dof": (3 * (200,), 1e-3, 500, 25, 1_250_000),
    "half-cheetah-pets": (4 * (200,), 1e-3, 500, 30, 1_500_000),
}


@pytest.mark.parametrize("task", PUBLISHED)
def test_published_settings_differ_by_task(task):
    """The table of [Chua18]'s appendix."""
    agent, (hidden, rate, candidates, horizon, evaluations) = pets_paper(task), PUBLISHED[task]
    assert agent.learner.hidden == hidden
    assert agent.learner.weight_decay.shape == (len(hidden) + 1,)
    assert float(agent.learner.learning_rate(jnp.asarray(0.7))) == pytest.approx(rate)
    planner = agent.planner
    assert (planner.candidates, planner.elites, planner.horizon) == (candidates, candidates // 10, horizon)
    assert candidates * planner.iterations * horizon * agent.propagator.particles == evaluations


def test_every_kind_of_settings_reaches_learner_and_planner():
    """A run records the kind that its task is known for, and the command line builds the same agent as the library."""
    for kind, settings in SETTINGS.items():
        mine, built = pets(settings=settings), agent_of(PointMass(), settings=kind)
        for one, other in ((mine.learner, built.learner), (mine.planner, built.planner)):
            same(eqx.filter(one, eqx.is_array), eqx.filter(other, eqx.is_array))
        assert mine.learner.hidden == built.learner.hidden == settings.hidden
        assert mine.planner.horizon == built.planner.horizon == settings.horizon
        assert mine.planner.follow_best == built.planner.follow_best == settings.follow_best
        assert type(mine.propagator) is type(built.propagator)
        assert isinstance(mine.propagator, EpistemicOnly) != settings.noise
        assert mine.first_colour == built.first_colour == settings.first_colour
    assert {info_of(task).settings for task in TASKS} == {"light", "arm", "legs"}


def test_published_settings_take_one_step():
    """The published learner and planner, with fewer candidates and gradient steps: a fit, then a plan."""
    agent, env = quick(pets_paper(), 2), CartPoleSwingUp()
    planner = dataclasses.replace(agent.planner, candidates=4, elites=2, iterations=1, horizon=3)
    agent = dataclasses.replace(agent, planner=planner)
    state = agent.init(jax.random.key(0), env.task)
    sizes = [weight.shape for weight in state.learned.members.net.weights]
    assert sizes == [(5, 6, 500), (5, 500, 500), (5, 500, 500), (5, 500, 8)]  # sine and cosine of the angle; mean, var
    learned = learn(dataclasses.replace(env, task=dataclasses.replace(env.task, horizon=6)), agent, trials=1)
    assert np.isfinite(learned.returns).all()


def test_default_settings():
    agent = pets()
    assert isinstance(agent.planner, ICEM)
    assert (agent.learner.members, agent.propagator.particles, agent.planner.horizon) == (5, 5, 20)
    assert agent.learner.scale_targets


def test_a_fit_changes_the_action_and_recompiles_nothing():
    env = PointMass()
    agent = quick(pets(members=2, particles=2, horizon=4), 20)
    traces = []

    @eqx.filter_jit
    def act(policy, key, obs, carry):
        traces.append(1)
        return policy(key, obs, carry)

    state = jitted(lambda key: agent.reserve(agent.init(key, env.task), 300), jax.random.key(0))
    before = agent.policy(env.task, state)
    obs = jnp.array([0.5, -0.4, 0.1, 0.2])
    piece = jitted(episode, jax.random.key(3), env, UniformPolicy.of(env.task))
    batch = Batch(*jax.tree.map(lambda leaf: leaf[:, None], (piece.transitions, piece.valid)))
    updated, metrics = jitted(agent.update, jax.random.key(1), env.task, state, batch)
    assert metrics["fit_loss"].shape == metrics["diverged"].shape == (2,)
    assert int(updated.data.count) == env.task.horizon
    after = agent.policy(env.task, updated)
    actions = [act(policy, jax.random.key(2), obs, policy.init())[0] for policy in (before, after)]
    assert len(traces) == 1
    assert np.abs(actions[0] - actions[1]).max() > 1e-3
