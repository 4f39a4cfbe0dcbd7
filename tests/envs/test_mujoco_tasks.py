"""The published tasks on MuJoCo: their mechanics, their rewards, their starts."""

import builtins
import sys

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.optimize import least_squares

from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.loading import load
from handful.envs.pusher_7dof import table
from handful.envs.reacher_7dof import arm, fingertips
from handful.errors import InputError
from handful.models.ensemble_learner import EnsembleLearner

NAMES = ["cartpole-swingup-mujoco", "reacher-7dof", "pusher-7dof", "half-cheetah-pets"]


@pytest.fixture(scope="module")
def tasks():
    return {name: load(name) for name in NAMES}


def recorded(system, seed, steps):
    """Random actions, what was seen, what was paid, and the simulation's state after each."""
    obs, _ = system.reset(seed=seed)
    system.action_space.seed(seed)
    rows = []
    for _ in range(steps):
        x, action = system.data.qpos[0], system.action_space.sample()
        next_obs, reward, terminated, truncated, _ = system.step(action)
        assert not terminated
        assert not truncated
        rows.append((obs, action, next_obs, reward, x, system.data.qpos[0]))
        obs = next_obs
    return rows


SIZES = {  # observations, actions, steps, seconds a step; greatest action
    "cartpole-swingup-mujoco": (4, 1, 200, 0.04, 3.0),
    "reacher-7dof": (17, 7, 150, 0.02, 20.0),
    "pusher-7dof": (20, 7, 150, 0.04, 2.0),
    "half-cheetah-pets": (18, 6, 1000, 0.05, 1.0),
}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_the_published_ones(tasks, name):
    task = tasks[name].task
    found = (task.obs_size, task.action_size, task.horizon, task.dt, float(task.high.max()))
    assert found == pytest.approx(SIZES[name])
    assert float(task.low.min()) == -SIZES[name][-1]
    assert tasks[name].notes == () or "screen" in tasks[name].notes[0], "nothing is learned or assumed"


def by_hand(name, system, action, x_before):
    """The reward from the simulation's own quantities."""
    data, effort = system.data, float(action @ action)
    if name == "reacher-7dof":
        hand = data.body("r_wrist_roll_link")
        tips = hand.xpos + hand.xmat.reshape(3, 3) @ [0.16828, 0.0, 0.0]
        return -float(((tips - system.target) ** 2).sum()) - 0.01 * effort
    if name == "pusher-7dof":
        tip, pushed = data.body("tips_arm").xpos, data.body("object").xpos
        missing = np.abs(pushed - data.body("goal").xpos).sum()
        return -1.25 * missing - 0.5 * np.abs(pushed - tip).sum() - 0.1 * effort
    if name == "half-cheetah-pets":
        return (data.qpos[0] - x_before) / 0.05 - 0.1 * effort
    x, theta = data.qpos
    tip = np.array([x - 0.6 * np.sin(theta), -0.6 * np.cos(theta) - 0.6])
    return np.exp(-(tip @ tip) / 0.36) - 0.01 * effort


@pytest.mark.parametrize("name", NAMES)
def test_what_is_paid_is_the_task_and_what_the_simulation_shows(tasks, name):
    """In float32 on numbers of order ten."""
    adapter = tasks[name]
    system = adapter.env
    obs, _ = system.reset(seed=4)
    system.action_space.seed(4)
    for _ in range(40):
        x, action = system.data.qpos[0], system.action_space.sample()
        next_obs, reward, *_ = system.step(action)
        assert reward == pytest.approx(by_hand(name, system, action, x), rel=2e-4, abs=2e-4)
        planned = adapter.task.reward(*(jnp.asarray(value, jnp.float32) for value in (obs, action, next_obs)))
        assert reward == pytest.approx(float(planned), rel=1e-4, abs=1e-4)
        obs = next_obs


# Of uniform random actions and of none, under today's MuJoCo; how many trials. The cart-pole's are means of 2000 starts
# of the one in JAX.
RETURNS = {
    "cartpole-swingup-mujoco": (-4.23, 2.77, 30),
    "reacher-7dof": (-1511.0, -184.0, 30),
    "pusher-7dof": (-294.0, -143.0, 20),
    "half-cheetah-pets": (-302.0, -0.2, 8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_returns_without_learning(tasks, name):
    """Within 5 %, or four standard errors of our mean (a false alarm in 16,000), where trials differ that much."""
    system = tasks[name].env
    *wanted, count = RETURNS[name]
    for random, expected in zip((True, False), wanted, strict=True):
        returns = []
        for seed in range(count if random or name != "half-cheetah-pets" else 3):
            system.reset(seed=seed)
            system.action_space.seed(seed)
            actions = [system.action_space.sample() * random for _ in range(tasks[name].task.horizon)]
            returns.append(sum(system.step(action)[1] for action in actions))
        error = 4 * np.std(returns) / np.sqrt(len(returns))
        assert np.mean(returns) == pytest.approx(expected, abs=max(0.05 * abs(expected), error, 0.06)), random


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_is_the_same_trial(tasks, name):
    system = tasks[name].env
    one, again, other = (recorded(system, seed, 5) for seed in (7, 7, 8))
    for first, second in zip(one, again, strict=True):
        for x, y in zip(first, second, strict=True):
            np.testing.assert_array_equal(x, y)
    assert not np.array_equal(one[0][0], other[0][0])


def test_forward_kinematics_are_mujocos():
    model = arm()
    data, rng = mujoco.MjData(model), np.random.default_rng(2)
    for _ in range(20):
        data.qpos[:] = rng.uniform(-2.0, 1.5, 7)
        mujoco.mj_kinematics(model, data)
        hand = data.body("r_wrist_roll_link")
        expected = hand.xpos + hand.xmat.reshape(3, 3) @ [0.16828, 0.0, 0.0]
        np.testing.assert_allclose(fingertips(jnp.asarray(data.qpos)), expected, atol=2e-6)


def test_the_arm_is_the_published_one():
    model = arm()
    np.testing.assert_allclose(model.dof_damping, [10, 10, 0.1, 1, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(model.dof_armature, 0.04)
    np.testing.assert_array_equal(model.jnt_limited, [1, 1, 1, 1, 0, 1, 0])
    np.testing.assert_allclose(model.jnt_range[0], [-2.2854, 1.714602])
    np.testing.assert_array_equal(model.geom_contype, 0)
    np.testing.assert_array_equal(model.opt.gravity, 0)


def test_a_hand_beside_the_object_pushes_it():
    """The hand's crossbar starts 3 cm inside the object's rim: contact must part them by moving what is light."""
    model = table()
    data = mujoco.MjData(model)

    def miss(angles):
        data.qpos[:7], data.qpos[7:9] = angles, (-0.25, 0.15)
        mujoco.mj_kinematics(model, data)
        return data.body("tips_arm").xpos - data.body("object").xpos - [0.0, -0.04, 0.0]

    found = least_squares(miss, [0, 0.5, 0, -0.5, 0, -0.3, 0], bounds=model.jnt_range[:7].T)
    assert np.abs(miss(found.x)).max() < 1e-3
    data.qvel[:] = 0.0
    mujoco.mj_step(model, data, nstep=50)
    assert np.linalg.norm(data.qpos[7:9] - [-0.25, 0.15]) > 0.02


def test_the_cheetah_weighs_what_its_file_says(tasks):
    assert tasks["half-cheetah-pets"].env.model.body_mass.sum() == pytest.approx(14.0)


def test_both_cart_poles_take_the_same_step(tasks):
    """In float32, away from the rail's ends."""
    pure = CartPoleSwingUp()
    rows = recorded(tasks["cartpole-swingup-mujoco"].env, 3, 30)
    step = jax.jit(lambda obs, action: pure.step(jax.random.key(0), obs, action)[1].obs)
    for obs, action, next_obs, *_ in rows:
        np.testing.assert_allclose(step(jnp.asarray(obs), jnp.asarray(action)), next_obs, atol=1e-4)


def test_nets_see_the_cheetah_as_published(tasks):
    """Height, pitch as sine and cosine, the rest; not the velocity, which is an output only."""
    task = tasks["half-cheetah-pets"].task
    learner = EnsembleLearner(hidden=(3,), weight_decay=jnp.zeros(2), members=1)
    features = learner.init(jax.random.key(0), task).members.features
    obs, action, after = jnp.arange(1.0, 19.0), jnp.linspace(-0.5, 0.4, 6), jnp.arange(2.0, 20.0) ** 1.1
    seen = jnp.concatenate([obs[1:2], jnp.sin(obs[2:3]), jnp.cos(obs[2:3]), obs[3:], action])
    np.testing.assert_allclose(np.sort(features.inputs(obs, action)), np.sort(seen), rtol=1e-6)
    assert features.target(obs, after)[0] == after[0]
    np.testing.assert_allclose(features.target(obs, after)[3:], (after - obs)[3:], rtol=1e-5)


def test_without_mujoco_the_task_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "mujoco":
            raise ModuleNotFoundError("No module named 'mujoco'", name="mujoco")
        return real(name, *rest, **named)

    for module in ("handful.envs.reacher_7dof", "handful.envs.mujoco_system"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"needs MuJoCo; install it with: pip install 'handful\[mujoco\]'"):
        load("reacher-7dof")
