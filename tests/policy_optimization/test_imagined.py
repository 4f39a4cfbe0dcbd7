"""The belief as an environment: where trials begin, in which world they go on, how they end."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.data.dataset import Dataset
from handful.envs.vector import reset
from handful.interaction import collect
from handful.models.known import KnownDynamics
from handful.policy_optimization.imagined import Imagined, ImaginedState, Visited
from handful.policy_optimization.ppo import PPO
from handful.types import Transition
from probes import signatures, task_of

KEY = jax.random.key(4)
TASK = task_of(
    lambda obs, action, next_obs: next_obs[0] - 3.0 * obs[1] + 0.5 * action[0],
    2,
    [-0.5],
    [0.25],
    horizon=30,
    terminated=lambda obs: obs[0] > 90,
)
ROWS = np.array([[0.5, -2.0], [1.25, 0.75], [np.nan, 0.5], [-3.0, 4.0]], np.float32)


def seen(rewards=(-1.5, 2.0, -7.0, np.nan), task=TASK):
    """Four rows of nine; the third observation is no number."""
    obs, no = jnp.asarray(ROWS), jnp.zeros(4, bool)
    rows = Transition(obs, jnp.zeros((4, 1)), jnp.asarray(rewards, jnp.float32), obs, no, no)
    return Dataset.empty(task, 9).add(rows, 0)


def imagined(model, task=TASK, length=3, **settings):
    return Imagined.of(KEY, task, model, seen(**settings), length=length)


def test_trials_begin_where_the_system_was_each_place_about_as_often():
    """6000 draws of three places: five standard errors."""
    drawn = np.asarray(jax.vmap(Visited.of(seen()).sample)(jax.random.split(KEY, 6000)))
    places, counts = np.unique(drawn, axis=0, return_counts=True)
    np.testing.assert_array_equal(places, ROWS[[3, 0, 1]])
    np.testing.assert_allclose(counts / 6000, 1 / 3, atol=5 * np.sqrt(2 / 9 / 6000))


def test_a_share_of_them_begins_where_a_trial_on_the_system_began():
    """The first rows of trials: of the second trial it is no number. 4000 draws: five standard errors."""
    data = eqx.tree_at(lambda d: d.trial, seen(), jnp.array([0, 0, 1, 2, *[-1] * 5]))
    begun = Visited.of(data, initial_only=True)
    assert int(begun.count) == 2
    np.testing.assert_array_equal(begun.obs[:2], ROWS[[0, 3]])
    env = Imagined.of(KEY, TASK, signatures([1.0, 2.0]), data, length=3, initial_state_fraction=0.3)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: env.reset(key)[1]))(jax.random.split(KEY, 4000)))
    later = (drawn == ROWS[1]).all(1).mean()  # the one place where no trial began
    assert abs(later - 0.7 / 3) < 5 * np.sqrt(0.7 / 3 * (1 - 0.7 / 3) / 4000)


def test_without_any_data_they_begin_at_zero():
    np.testing.assert_array_equal(Visited.of(Dataset.empty(TASK, 9)).sample(KEY), 0.0)


def test_a_step_is_the_worlds_own_with_the_tasks_reward():
    """By hand: action 0.8 acts as 0.25, the member adds 4 and -8."""
    env = imagined(signatures([1.0, 16.0, 4.0]))
    state, step = env.step(KEY, ImaginedState(jnp.array([0.5, -2.0]), jnp.array(2)), jnp.array([0.8]))
    np.testing.assert_allclose(step.obs, [0.5 + 0.25 + 4, -2 - 8], rtol=1e-6)
    np.testing.assert_allclose(step.reward, 4.75 - 3 * -2 + 0.5 * 0.25, rtol=1e-6)
    np.testing.assert_array_equal(state.obs, step.obs)
    assert (int(state.world), bool(step.terminated)) == (2, False)
    _, step = env.step(KEY, ImaginedState(jnp.array([80.0, 1.0]), jnp.array(1)), jnp.array([-0.1]))
    assert step.terminated


@pytest.mark.parametrize("name", ["Ensemble", "GaussianProcess", "BayesianLinear"])
def test_every_belief_lends_its_worlds(name):
    belief = zoo.MODELS[name]()
    data = Dataset.empty(zoo.TASK, 2)
    state = ImaginedState(zoo.OBS, jnp.array(1))

    @eqx.filter_jit
    def both(belief):
        env = Imagined.of(KEY, zoo.TASK, belief, data, length=3, worlds=4)
        worlds = belief.worlds(KEY, 4 if belief.world_count is None else belief.world_count)
        ours = env.step(KEY, state, zoo.ACTION)[1].obs
        by_index = [jax.tree.map(lambda leaf, i=i: leaf[i], worlds).sample(KEY, zoo.OBS, zoo.ACTION) for i in (0, 1)]
        alone = env.world(jnp.array(1)).step(KEY, ImaginedState(zoo.OBS, jnp.array(0)), zoo.ACTION)[1].obs
        return ours, alone, *by_index

    ours, alone, other, expected = both(belief)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(ours, other, atol=1e-4)


@pytest.fixture(scope="module")
def met():
    """Twelve steps of forty copies, in branches of three."""
    env = imagined(signatures([1.0, 16.0, 4.0]))
    learner = PPO(num_envs=40, num_steps=12, minibatches=2)

    @eqx.filter_jit
    def acted():
        lanes = jax.vmap(lambda k: reset(k, env))(jax.random.split(KEY, 40))
        state = learner.init(KEY, TASK)
        return collect(KEY, env, learner.actor(TASK, state), lanes, 12)[1], state

    return *acted(), learner


def test_a_trial_keeps_to_its_world_and_worlds_are_met_alike(met):
    """480 draws of worlds a trial, 160 of them: five standard errors."""
    rows = met[0]
    worlds = np.asarray(rows.obs[..., 1] - rows.next_obs[..., 1]) / 2  # the action moves the first entry alone
    trials = worlds.reshape(4, 3, 40)
    np.testing.assert_allclose(trials, np.broadcast_to(trials[:, :1], trials.shape), atol=1e-3)
    drawn = np.round(trials[:, 0].ravel())
    assert set(drawn) == {1.0, 4.0, 16.0}
    for member in (1.0, 4.0, 16.0):
        assert abs((drawn == member).mean() - 1 / 3) < 5 * np.sqrt(2 / 9 / 160)


def test_a_trial_may_draw_a_world_for_every_step():
    """900 steps in trials of three: worlds are met alike within five standard errors, and change within trials."""
    env = Imagined.of(KEY, TASK, signatures([1.0, 16.0, 4.0]), seen(), length=3, world_each_step=True)

    def trial(key):
        start_key, roll_key = jax.random.split(key)
        state, obs = env.reset(start_key)

        def step(carry, key):
            state, obs = carry
            state, step = env.step(key, state, jnp.array([0.1]))
            return (state, step.obs), obs[1] - step.obs[1]

        return jax.lax.scan(step, (state, obs), jax.random.split(roll_key, 3))[1] / 2

    worlds = np.asarray(jax.jit(jax.vmap(trial))(jax.random.split(KEY, 300))).round()
    for member in (1.0, 4.0, 16.0):
        assert abs((worlds == member).mean() - 1 / 3) < 5 * np.sqrt(2 / 9 / 900)
    kept = (worlds[:, 1:] == worlds[:, :-1]).mean()
    assert abs(kept - 1 / 3) < 5 * np.sqrt(2 / 9 / 600), "the next world does not depend on the last"


def test_branches_end_by_truncation_and_begin_where_the_system_was(met):
    rows = met[0]
    assert not rows.terminated.any()
    np.testing.assert_array_equal(rows.truncated, np.broadcast_to((np.arange(12) % 3 == 2)[:, None], (12, 40)))
    begun = np.asarray(rows.obs[::3]).reshape(-1, 2)
    assert {tuple(row) for row in begun} == {tuple(row) for row in ROWS[[0, 1, 3]]}


def test_the_end_of_a_branch_counts_for_what_it_is_worth(met):
    """Targets, in NumPy, of a branch's last step: its reward and the value of the true next observation."""
    rows, state, learner = met
    samples, worth = eqx.filter_jit(
        lambda rows, state: (learner.samples(state, rows)[0], jax.vmap(jax.vmap(state.value))(rows.next_obs))
    )(rows, state)
    targets, discount = np.asarray(samples.target).reshape(12, 40), 0.99
    expected = np.asarray(rows.reward + discount * worth)[2::3]
    np.testing.assert_allclose(targets[2::3], expected, rtol=1e-4, atol=1e-4)
    assert abs(np.asarray(worth)).max() > 0.1


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["prediction", "reward"])
def test_numbers_that_are_none_end_the_trial_and_gain_nothing(poison, where):
    """The least finite reward of an observation was -7; over 30 steps that comes to -210."""
    task, model = TASK, KnownDynamics(lambda obs, action: obs + 1.0)
    if where == "prediction":
        model = KnownDynamics(lambda obs, action: jnp.where(obs > 2, poison, obs + 1.0))
    else:
        task = dataclasses.replace(
            TASK, reward=lambda obs, action, next_obs: jnp.where(next_obs[1] > 3, poison, next_obs[0])
        )
    env = imagined(model, task)
    state, step = env.step(KEY, ImaginedState(jnp.array([0.5, 2.5]), jnp.array(0)), jnp.array([0.1]))
    np.testing.assert_array_equal(step.obs, [0.5, 2.5])
    np.testing.assert_array_equal(state.obs, step.obs)
    assert step.terminated
    np.testing.assert_allclose(step.reward, -210.0)
    _, step = env.step(KEY, ImaginedState(jnp.array([0.5, 1.5]), jnp.array(0)), jnp.array([0.1]))
    assert not step.terminated


def test_what_is_lost_is_never_more_than_nothing():
    np.testing.assert_array_equal(imagined(signatures([1.0, 2.0]), rewards=(1.5, 2.0, 7.0, 3.0)).failure_reward, 0.0)
