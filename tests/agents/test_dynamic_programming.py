"""Counts, value iteration, and the greedy policy as an agent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.agents.dynamic_programming import DPAgent
from handful.data.dataset import Dataset
from handful.data.grid import Axis, Grid, turn
from handful.envs.base import AbstractEnv
from handful.envs.registry import info_of
from handful.errors import InputError
from handful.learning import learn
from handful.policies.discrete_actions import DiscreteActions
from handful.task import Task
from handful.types import Step, Transition
from handful.values.cell_dynamics import CellDynamics
from probes import jitted, task_of

KEY = jax.random.key(2)
GRID = Grid((Axis(0, 7, -0.5, 6.5),), 1)
WALK = task_of(lambda obs, action, next_obs: -jnp.abs(next_obs[0] - 5.0), 1, [-1.0], [1.0], horizon=20)


class Walk(AbstractEnv):
    """Whole steps along seven places; 5 is the best, and the walk starts from 1."""

    task: Task

    def reset(self, key):
        return jnp.array([1.0]), jnp.array([1.0])

    def step(self, key, state, action):
        obs = jnp.clip(state + jnp.round(action), 0.0, 6.0)
        return obs, Step(obs, self.task.reward(state, action, obs), self.task.terminated(obs))


def test_it_learns_the_way_and_its_policy_and_model_are_right():
    """From 1 to 5 costs 3 + 2 + 1 and nothing from then on. After trial 0, ten trials of optimism."""
    done = learn(Walk(WALK), DPAgent(GRID, bins_per_dim=3), trials=10, seed=1)
    assert max(done.returns[1:]) == -6.0
    assert done.returns[-1] == -6.0
    action, _ = done.policy(KEY, jnp.array([2.0]), None)
    assert action.tolist() == [1.0]
    told = done.model.predict(jnp.array([2.0]), jnp.array([1.0]))
    assert 2.4 < float(told.mean[0]) <= 3.0


def test_pairs_that_were_never_visited_have_the_given_value():
    rows = Transition(
        jnp.array([[2.0]]), jnp.array([[1.0]]), jnp.array([-2.0]), jnp.array([[3.0]]), *jnp.zeros((2, 1), bool)
    )
    data = Dataset.empty(WALK, 5).add(rows, 0)
    agent = DPAgent(GRID, bins_per_dim=3, unvisited=-30.0, discount=0.9, tolerance=1e-4)
    state, report = jitted(lambda data: agent.fit(KEY, WALK, agent.start(KEY, WALK), data), data)
    expected = np.full((7, 3), -30.0)
    expected[2, 2] = -2 + 0.9 * -30.0
    np.testing.assert_allclose(state.q, expected, rtol=1e-5)
    assert float(report.loss[0]) <= 1e-4


def test_cells_predict_the_changes_that_were_observed_in_them():
    """Two cells of an angle that jumps by a turn; mean and variance drawn towards those of all by one more sight."""
    task = task_of(lambda obs, action, next_obs: obs[0], 2, [-1.0], [1.0], angles=(1,))
    grid = Grid((Axis(0, 2, 0.0, 2.0), turn(1, 2)), 2)
    obs = jnp.array([[0.5, 3.1], [0.6, 2.9], [1.5, -1.0], [9.0, 9.0]])
    next_obs = jnp.array([[0.7, -3.1], [0.5, 3.0], [1.2, -1.4], [0.0, 0.0]])
    no = jnp.zeros(4, bool)
    rows = Transition(obs, jnp.array([[-0.9], [-0.6], [0.7], [0.0]]), jnp.ones(4), next_obs, no, no)
    agent_actions = DiscreteActions.of(task, 2)
    belief = jitted(lambda rows: CellDynamics.of(task, rows, jnp.arange(4) < 3, grid, agent_actions), rows)
    changes = np.array([[0.2, 2 * np.pi - 6.2], [-0.1, 0.1], [-0.3, -0.4]])
    middle, spread = changes.mean(0), changes.var(0)
    mean = (changes[:2].sum(0) + middle) / 3
    var = (((changes[:2] - mean) ** 2).sum(0) + spread + (middle - mean) ** 2) / 3
    told = belief.predict(jnp.array([0.9, 2.0]), jnp.array([-0.2]))
    np.testing.assert_allclose(told.mean, np.array([0.9, 2.0]) + mean, rtol=1e-5)
    np.testing.assert_allclose(told.aleatoric, var, rtol=1e-4)
    never = belief.predict(jnp.array([0.9, 2.0]), jnp.array([0.8]))
    np.testing.assert_allclose(never.mean, np.array([0.9, 2.0]) + middle, rtol=1e-5)
    np.testing.assert_allclose(never.aleatoric, spread, rtol=1e-4)
    # 4000 draws: mean and std off by five standard errors in 2e-6 of runs
    draw = jax.jit(jax.vmap(lambda key: belief.sample(key, jnp.array([0.9, 2.0]), jnp.array([-0.2]))))
    drawn = np.asarray(draw(jax.random.split(KEY, 4000)))
    assert (np.abs(drawn.mean(0) - told.mean) < 5 * np.sqrt(var / 4000)).all()
    assert (np.abs(drawn.std(0) / np.sqrt(var) - 1) < 5 / np.sqrt(8000)).all()


def test_continuous_actions_without_values_to_try_and_a_grid_of_another_task():
    with pytest.raises(InputError, match=r"bins_per_dim, .* must be at least 2"):
        DPAgent(GRID).init(KEY, WALK)
    with pytest.raises(InputError, match="of 2 entries, and those of the task have 1"):
        DPAgent(info_of("pendulum").table_grid(), bins_per_dim=3).init(KEY, WALK)
