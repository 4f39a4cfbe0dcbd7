"""What is known of Gymnasium's tasks, against the environments themselves on random transitions."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.data.features import Features
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.known_rewards import Outside
from handful.envs.known_tasks import KNOWN
from handful.envs.loading import load

# Observations, categories or actions, seconds a step, steps a trial, whether random trials terminate.
SIZES = {
    "InvertedPendulum-v5": (4, 1, 0.04, 1000, True),
    "CartPole-v1": (4, 2, 0.02, 500, True),
    "Pendulum-v1": (3, 1, 0.05, 200, False),
    "Reacher-v5": (10, 2, 0.02, 50, False),
    "Pusher-v5": (23, 7, 0.05, 100, False),
    "HalfCheetah-v5": (18, 6, 0.05, 1000, False),
    "Hopper-v5": (12, 3, 0.008, 1000, True),
    "Walker2d-v5": (18, 6, 0.008, 1000, True),
    "Swimmer-v5": (9, 2, 0.04, 1000, False),
}
RUNNERS = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Swimmer-v5")


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """Made in a folder of their own, since MuJoCo writes warnings into a file where it is started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("mujoco"))
        yield {name: load(f"gymnasium:{name}") for name in KNOWN}


def drawn(task, rng):
    if task.categorical:
        return np.eye(task.action_size, dtype=np.float32)[rng.integers(task.action_size)]
    return rng.uniform(task.low, task.high).astype(np.float32)


def recorded(env):
    """200 random transitions of 4 trials or more, and what the environment pays and says of its end."""
    rng, rows, seed = np.random.default_rng(9), [], 0
    while len(rows) < 200:
        obs, seed = env.reset(seed), seed + 1
        for _ in range(50):
            action = drawn(env.task, rng)
            after, *said = env.step(action)
            rows.append((obs, action, after, *said))
            obs = after
            if said[1] or said[2]:
                break
    assert seed >= 4
    return [np.array(column) for column in zip(*rows[:200], strict=True)]


@pytest.mark.parametrize("name", KNOWN)
def test_reward_and_end_are_the_environments_own(environments, name):
    """4e-6 of the greatest reward is float32 against the environment's float64; on ends there is no tolerance."""
    env = environments[name]
    obs, action, after, paid, over, _ = recorded(env)

    @jax.jit
    def known(obs, action, after):
        return jax.vmap(env.task.reward)(obs, action, after), jax.vmap(env.task.terminated)(after)

    reward, terminated = known(obs, action, after)
    np.testing.assert_allclose(reward, paid, atol=4e-6 * np.abs(paid).max())
    np.testing.assert_array_equal(terminated, over)
    assert over.any() == SIZES[name][-1]
    assert np.ptp(paid) > 0 or name == "CartPole-v1"  # which pays 1 whatever happens


@pytest.mark.parametrize("name", KNOWN)
def test_sizes_names_and_nothing_learned(environments, name):
    task = environments[name].task
    size, actions, dt, horizon, _ = SIZES[name]
    assert (task.obs_size, task.action_size, task.horizon) == (size, actions, horizon)
    assert task.dt == pytest.approx(dt)
    assert len(set(task.names)) == size
    assert task.categorical == (name == "CartPole-v1")
    assert not any("learned" in note for note in environments[name].notes)
    assert task.memoryless == ((size - 1,) if name in RUNNERS else ())


@pytest.mark.parametrize("name", RUNNERS)
def test_the_velocity_is_the_way_of_a_step_over_its_time_and_no_input(environments, name):
    """At a reset it is zero. 1e-5 is float32 on differences of places."""
    env = environments[name]
    raw, task = env.env.unwrapped, env.task
    obs = env.reset(3)
    assert obs[-1] == 0
    before = raw.data.qpos[0]
    after, *_ = env.step(np.asarray(task.high))
    np.testing.assert_allclose(after[-1], (raw.data.qpos[0] - before) / raw.dt, atol=1e-5)
    features, other = Features.of(task), jnp.asarray(obs).at[-1].set(7.0)
    action = jnp.asarray(task.high)
    np.testing.assert_array_equal(features.inputs(jnp.asarray(obs), action), features.inputs(other, action))
    assert features.target(other, jnp.asarray(after))[-1] == after[-1]


def test_angles_are_pitch_and_heading(environments):
    seen = {name: [env.task.names[index] for index in env.task.angles] for name, env in environments.items()}
    upright = ["pitch [rad]"]
    assert {name: angles for name, angles in seen.items() if angles} == {
        "HalfCheetah-v5": upright,
        "Hopper-v5": upright,
        "Walker2d-v5": upright,
        "Swimmer-v5": ["heading [rad]"],
    }


def test_weights_and_limits_are_read_from_the_environment(environments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {
        "forward_reward_weight": 2.5,
        "ctrl_cost_weight": 0.3,
        "healthy_reward": 0.7,
        "healthy_z_range": (0.9, 1.7),
        "healthy_angle_range": (-0.4, 0.6),
    }
    given = KNOWN["Walker2d-v5"].given(gymnasium.make("Walker2d-v5", **settings))
    reward, down = given["reward"], given["terminated"]
    assert (reward.forward, reward.effort, reward.healthy) == pytest.approx((2.5, 0.3, 0.7))
    pose = np.zeros(18)
    for height, pitch, fallen in [(1.2, 0.5, False), (1.2, 0.7, True), (1.2, -0.5, True), (0.8, 0.0, True)]:
        pose[:2] = height, pitch
        assert bool(down(jnp.asarray(pose, jnp.float32))) == fallen
        assert bool(reward.unhealthy(jnp.asarray(pose, jnp.float32))) == fallen


def test_what_is_not_finite_has_left_every_interval():
    left = Outside(jnp.array([-1.0, -jnp.inf]), jnp.array([2.0, jnp.inf]))
    for obs, outside in [([0.0, 9.0], False), ([2.5, 9.0], True), ([0.0, np.nan], True), ([-1.5, 0.0], True)]:
        assert bool(left(jnp.asarray(obs))) == outside


def test_an_entry_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        KNOWN["Pendulum-v1"].angles = (0,)


def test_an_interval_says_nothing_of_later_entries():
    left = Outside(jnp.array([-1.0]), jnp.array([2.0]))
    assert [bool(left(jnp.array(obs))) for obs in ([0.0, 9.0], [2.5, 9.0], [0.0, np.nan])] == [False, True, False]


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Pendulum-v1"])
def test_under_a_reward_of_ones_own_the_rest_stays_known(name):
    """Without the velocity, which only the task's own reward needs, and with it where it is asked for."""
    known, made = KNOWN[name], gymnasium.make(name)
    paid = lambda obs, action, next_obs: next_obs[2]
    env = GymnasiumEnv(made, reward=paid)
    own = made.observation_space.shape[0]
    assert env.task.names == known.names[:own]
    assert env.task.angles == known.angles
    assert not env.task.memoryless
    obs = env.reset(seed=5)
    assert not env.task.terminated(jnp.asarray(obs))
    after, earned, *_ = env.step(np.asarray(env.task.high))
    np.testing.assert_allclose(earned, after[2], rtol=1e-6)
    low = obs.copy()
    low[0] = 0.1  # the height of a runner
    assert bool(env.task.terminated(jnp.asarray(low))) == (name in {"Hopper-v5", "Walker2d-v5"})
    if known.info:
        beside = GymnasiumEnv(gymnasium.make(name), reward=paid, info=known.info)
        assert beside.task.names == (*known.names[:own], *known.info)
        assert not beside.task.terminated(jnp.asarray(beside.reset(seed=5)))
