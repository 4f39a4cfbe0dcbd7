"""Agents from Python: each name of `handful.agents` gives one without arguments, and takes a task and its options."""

import jax
import pytest

import handful.agents
from handful.agent import AbstractAgent
from handful.agents import MPC, PETS, MPCAgent, QLearning, agent_for
from handful.envs.loading import load
from handful.errors import InputError
from handful.models import LinearLearner

NEED_PARTS = {"Ascent", "DPAgent", "MPCAgent", "PolicySearchAgent", "agent_for"}
NAMES = [name for name in handful.agents.__all__ if name not in NEED_PARTS and not name.startswith("Abstract")]


@pytest.mark.parametrize("name", NAMES)
def test_every_agent_can_be_made_without_arguments(name):
    assert isinstance(getattr(handful.agents, name)(), AbstractAgent)


def test_an_agent_for_a_task_has_the_tasks_defaults_and_the_given_options():
    agent = QLearning("mountain-car-continuous-v0", learning_rate=0.125)
    task = load("mountain-car-continuous-v0").task
    assert (agent.learning_rate.item(), agent.bins_per_dim) == (0.125, 5)
    assert agent.init(jax.random.key(0), task).values.weights.shape[-1] == 5  # it fits the task
    assert QLearning("cartpole-v1").bins_per_dim is None  # whose actions are categories


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="--agent q-lerning is unknown, did you mean q-learning"):
        agent_for("cartpole-v1", "q-lerning")
    with pytest.raises(InputError, match="there is no task 'cartpol'"):
        agent_for("cartpol", "ppo")
    with pytest.raises(TypeError, match="planner"):
        agent_for("cartpole-v1", "ppo", planner="cem")
    with pytest.raises(InputError, match="observations of 4 entries"):
        QLearning("cartpole-v1").init(jax.random.key(0), load("pendulum").task)


def test_mpc_takes_parts_and_leaves_the_rest_to_pets():
    agent, usual = MPC(LinearLearner()), PETS()
    assert isinstance(agent, MPCAgent)
    assert isinstance(agent.learner, LinearLearner)
    assert (agent.planner.horizon, agent.propagator.particles) == (usual.planner.horizon, usual.propagator.particles)
