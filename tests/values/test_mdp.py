"""Finite MDPs: their tables, what may not be one, and how they are made."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.data.grid import Axis, Grid
from handful.errors import InputError
from handful.models.known import KnownDynamics
from handful.policies.discrete_actions import DiscreteActions
from handful.types import Transition
from handful.values.cell_dynamics import CellDynamics
from handful.values.discretise import counted, discretised
from handful.values.mdp import FiniteMDP
from handful.values.toy_text import MDPEnv, from_toy_text
from probes import task_of, unchecked
from values.chains import random_mdp


def test_a_table_comes_back_and_backs_up():
    mdp, going, reward = random_mdp(0.8)
    np.testing.assert_allclose(mdp.table(), going, atol=1e-6)
    np.testing.assert_allclose(mdp.termination, 1 - going.sum(-1), atol=1e-6)
    values = np.array([3.0, -1.5, 0.4, 7.0])
    np.testing.assert_allclose(
        mdp.backup(jnp.asarray(values, jnp.float32)), reward + 0.8 * going @ values, rtol=1e-5, atol=1e-5
    )
    policy = np.random.default_rng(2).dirichlet(np.ones(3), 4)
    matrix, paid = mdp.under_policy(jnp.asarray(policy, jnp.float32))
    np.testing.assert_allclose(matrix, np.einsum("sc,sct->st", policy, going), atol=1e-6)
    np.testing.assert_allclose(paid, (policy * reward).sum(1), rtol=1e-5)


def test_outcomes_are_drawn_as_often_as_they_should_be():
    """6000 draws: five standard errors of five frequencies, a false alarm in 3e-6 of runs."""
    mdp, going, _ = random_mdp()
    state, choice = jnp.asarray(2), jnp.asarray(1)
    draw = jax.jit(jax.vmap(lambda key: mdp.sample(key, state, choice)))
    following, ended = draw(jax.random.split(jax.random.key(1), 6000))
    shares = np.append(going[2, 1], 1 - going[2, 1].sum())
    drawn = np.bincount(np.where(ended, 4, following), minlength=5) / 6000
    assert (np.abs(drawn - shares) < 5 * np.sqrt(shares * (1 - shares) / 6000) + 1e-9).all()
    assert (np.asarray(following)[np.asarray(ended)] == 2).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"probability": jnp.array([0.7, 0.6])}, "at most one, got 1.3 for state 0 and action 1"),
        ({"probability": jnp.array([0.7, -0.1])}, "not negative"),
        ({"reward": jnp.array([[1.0, jnp.nan], [2.0, 3.0]])}, "rewards must be finite"),
        ({"next_state": jnp.array([0, 2])}, "next_state must be indices below 2, got 0 to 2"),
        ({"pair": jnp.array([1, 4])}, "pair must be indices below 4"),
        ({"discount": 1.2}, "from 0 to 1, got 1.2"),
    ],
)
def test_what_is_no_mdp(change, says):
    given = {"pair": jnp.array([1, 1]), "next_state": jnp.array([0, 1]), "probability": jnp.array([0.7, 0.2])}
    given |= {"reward": jnp.array([[1.0, 0.5], [2.0, 3.0]]), "discount": 0.9}
    assert FiniteMDP(**given).termination[0, 1] == pytest.approx(0.1)
    with pytest.raises(InputError, match=says):
        FiniteMDP(**given | change)


def test_tables_that_do_not_sum_to_one_or_do_not_fit():
    transition = jnp.array([[[0.5, 0.4], [0.2, 0.8]], [[0.3, 0.7], [1.0, 0.0]]])
    reward = jnp.array([[1.0, 0.5], [2.0, 3.0]])
    with pytest.raises(InputError, match=r"sum to one, got 0.9 for state 0 and action 0"):
        FiniteMDP.dense(transition, reward, jnp.zeros((2, 2)), 0.9)
    fine = transition.at[0, 0, 1].set(0.5)
    with pytest.raises(InputError, match="a termination must be a probability"):
        FiniteMDP.dense(fine, reward, jnp.full((2, 2), 1.5), 0.9)
    nothing = jnp.zeros(0, int)
    huge = FiniteMDP(nothing, nothing, jnp.zeros(0), jnp.ones((5000, 2)), 0.9)
    with pytest.raises(InputError, match="50000000 entries"):
        huge.table()
    with pytest.raises(InputError, match="limited to 4096 states, got 5000"):
        huge.under_policy(jnp.ones((5000, 2)))


def test_frozen_lake_is_its_own_table():
    env = gymnasium.make("FrozenLake-v1")
    mdp = from_toy_text(env, 0.9)
    table, reward = np.zeros((16, 4, 16)), np.zeros((16, 4))
    for state, actions in env.unwrapped.P.items():
        for choice, outcomes in actions.items():
            for chance, after, paid, over in outcomes:
                table[state, choice, after] += chance * (not over)
                reward[state, choice] += chance * paid
    np.testing.assert_allclose(mdp.table(), table, atol=1e-6)
    np.testing.assert_allclose(mdp.reward, reward, atol=1e-6)
    with pytest.raises(InputError, match="CartPoleEnv has none"):
        from_toy_text(gymnasium.make("CartPole-v1"))


def test_an_environment_of_an_mdp_goes_where_it_leads_and_tells_the_end():
    """From state 1 the third action always ends the trial: one past the last state, and nothing but that is over."""
    mdp, _, reward = random_mdp()
    env = MDPEnv.of(mdp, jnp.array([0.0, 1.0, 0.0, 0.0]), 9)
    state, obs = env.reset(jax.random.key(0))
    assert (int(state), obs.tolist()) == (1, [1.0])
    _, step = env.step(jax.random.key(1), state, jnp.array([0.0, 0.0, 1.0]))
    assert step.obs.tolist() == [4.0]
    assert bool(step.terminated)
    assert bool(env.task.terminated(step.obs))
    assert not env.task.terminated(jnp.array([3.0]))
    assert float(step.reward) == pytest.approx(reward[1, 2], rel=1e-5)
    assert env.task.reward(obs, jnp.array([0.0, 1.0, 0.0]), obs) == pytest.approx(reward[1, 1], rel=1e-5)


# A place that an action moves, paid by where it comes to; the trial ends beyond 2.6.
TASK = task_of(
    lambda obs, action, next_obs: 2 * next_obs[0] + action[0], 1, [-1.0], [1.5], terminated=lambda obs: obs[0] > 2.6
)
PLACES = Grid((Axis(0, 3, 0.0, 3.0),), 1)  # middles 0.5, 1.5, 2.5


def moved(obs, action):
    return obs + action


def test_a_continuous_task_stepped_from_the_middles():
    choices = DiscreteActions(jnp.array([[-1.0], [0.05], [1.5]]))
    mdp = discretised(jax.random.key(0), TASK, KnownDynamics(moved), PLACES, choices, discount=0.9)
    following = [[0, 0, 1], [0, 1, None], [1, 2, None]]  # 1.5 + 1.5 and 2.5 + 1.5 lie beyond the end
    expected = np.zeros((3, 3, 3))
    for state, row in enumerate(following):
        for choice, after in enumerate(row):
            if after is not None:
                expected[state, choice, after] = 1
    expected[1, 2] = expected[2, 2] = 0
    np.testing.assert_array_equal(np.asarray(mdp.table())[:, :2], expected[:, :2])
    assert mdp.termination[:, 2].tolist() == [0.0, 1.0, 1.0]
    middles, moves = np.array([[0.5], [1.5], [2.5]]), np.array([-1.0, 0.05, 1.5])
    np.testing.assert_allclose(mdp.reward, 2 * (middles + moves) + moves, rtol=1e-5)


def test_samples_tell_how_often_a_step_leaves_its_cell():
    """A step of 0.2 leaves a cell of length one from a fifth of it. 2000 samples: five standard errors."""
    choices = DiscreteActions(jnp.array([[0.2]]))
    mdp = discretised(jax.random.key(3), TASK, KnownDynamics(moved), PLACES, choices, discount=0.9, samples=2000)
    error = 5 * np.sqrt(0.2 * 0.8 / 2000)
    np.testing.assert_allclose(mdp.table()[0, 0], [0.8, 0.2, 0.0], atol=error)
    np.testing.assert_allclose(mdp.termination[2, 0], 0.6, atol=5 * np.sqrt(0.24 / 2000))  # from 2.4 on


def test_each_cell_draws_places_of_its_own_and_all_actions_of_a_cell_start_there():
    """The reward is the place in the cell: with the same draws in every cell the three rows would be equal."""
    task = task_of(lambda obs, action, next_obs: obs[0] % 1.0, 1, [-1.0], [1.0])
    choices = DiscreteActions(jnp.array([[-1.0], [0.5]]))
    mdp = discretised(jax.random.key(3), task, KnownDynamics(moved), PLACES, choices, discount=0.9, samples=3)
    means = np.asarray(mdp.reward)
    np.testing.assert_allclose(means[:, 0], means[:, 1], rtol=1e-5)
    assert np.abs(means[:, 0] - np.roll(means[:, 0], 1)).min() > 1e-3


@pytest.mark.parametrize(("field", "poison"), [("obs", np.nan), ("next_obs", np.inf), ("reward", np.nan)])
def test_counts_and_statistics_leave_out_what_is_not_finite(field, poison):
    column = jnp.array([[0.2], [1.3], [2.2], [0.7]])
    flag = jnp.zeros(4, bool)
    rows = Transition(column, column - 1.0, jnp.arange(1.0, 5.0), column[::-1], flag, flag)
    bad = dataclasses.replace(rows, **{field: getattr(rows, field).at[1].set(poison)})
    choices, kept = DiscreteActions(jnp.array([[-1.0], [1.0]])), jnp.array([True, False, True, True])
    settings = {"discount": 0.9, "unvisited": jnp.asarray(-7.0)}
    made = [counted(r, m, PLACES, choices, **settings) for r, m in ((bad, kept | True), (rows, kept))]
    np.testing.assert_array_equal(made[0].reward, made[1].reward)
    np.testing.assert_array_equal(made[0].table(), made[1].table())
    models = [CellDynamics.of(TASK, r, m, PLACES, choices) for r, m in ((bad, kept | True), (rows, kept))]
    np.testing.assert_array_equal(models[0].change, models[1].change)
    np.testing.assert_array_equal(models[0].var, models[1].var)


def test_steps_beyond_reason_are_refused():
    with pytest.raises(InputError, match="30000000 steps"):
        discretised(
            jax.random.key(0),
            TASK,
            KnownDynamics(moved),
            PLACES,
            DiscreteActions(jnp.array([[0.2]])),
            discount=0.9,
            samples=10_000_000,
        )


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_model_that_is_not_finite_makes_no_mdp(poison):
    """From cell 2 alone, whose middle is 2.5, and whatever the reward looks at."""
    task = task_of(lambda obs, action, next_obs: obs[0], 1, [-1.0], [1.0])
    model = KnownDynamics(lambda obs, action: jnp.where(obs > 2, poison, obs + action))
    with pytest.raises(InputError, match=r"action 0 from cell 2, around \[2.5\], is not"):
        discretised(jax.random.key(0), task, model, PLACES, DiscreteActions(jnp.array([[0.2]])), discount=0.9)


@pytest.mark.parametrize(("reward", "ends"), [((2, 3), (2, 2)), ((2, 2), (2,)), ((2, 1), (2, 2))])
def test_a_table_whose_rewards_or_ends_are_of_other_states_or_actions(reward, ends):
    table = jnp.full((2, 2, 2), 0.5)
    with pytest.raises(InputError, match="must be of states x actions x states"):
        unchecked(FiniteMDP.dense)(table, jnp.zeros(reward), jnp.zeros(ends), 0.9)


def test_counts_by_hand_and_the_rule_for_what_was_never_met():
    """Cell 0 with choice 1 was met three times: twice to cell 1, once to the end. Cell 2 with choice 0 once."""
    obs, next_obs = [0.2, 0.9, 0.4, 2.5, 0.1], [1.2, 1.9, 2.8, 0.3, 0.2]
    action, reward = [0.7, 1.4, 0.3, -0.8, 0.9], [1.0, 2.0, 6.0, -4.0, 99.0]
    column = lambda values: jnp.array(values)[:, None]
    over = jnp.array([False, False, True, False, False])
    rows = Transition(column(obs), column(action), jnp.array(reward), column(next_obs), over, ~over)
    choices = DiscreteActions(jnp.array([[-1.0], [1.0]]))
    assert [int(choices.nearest(a)) for a in column(action)] == [1, 1, 1, 0, 1]
    mask = jnp.arange(5) < 4
    mdp = counted(rows, mask, PLACES, choices, discount=0.9, unvisited=jnp.asarray(-7.0))
    np.testing.assert_allclose(mdp.reward, [[-7.0, 3.0], [-7.0, -7.0], [-4.0, -7.0]], rtol=1e-6)
    expected = np.zeros((3, 2, 3))
    expected[0, 1, 1], expected[2, 0, 0] = 2 / 3, 1.0
    np.testing.assert_allclose(mdp.table(), expected, atol=1e-6)
