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


ARM_RANGES = [[-2.2854, 1.714602], [-0.5236, 1.3963], [-3.9, 0.8], [-2.3213, 0], [0, 0], [-2.094, 0], [0, 0]]  # [rad]


def test_the_arm_is_the_published_one():
    model = arm()
    np.testing.assert_allclose(model.dof_damping, [10, 10, 0.1, 1, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(model.dof_armature, 0.04)
    np.testing.assert_array_equal(model.jnt_limited, [1, 1, 1, 1, 0, 1, 0])
    np.testing.assert_allclose(model.jnt_range, ARM_RANGES)
    np.testing.assert_array_equal(model.geom_contype, 0)
    np.testing.assert_array_equal(model.opt.gravity, 0)
    assert (model.opt.timestep, model.opt.integrator) == (0.01, mujoco.mjtIntegrator.mjINT_RK4)


def test_the_arm_weighs_what_the_published_one_does():
    """The published inertias are of the arm slightly bent, armature included; digits are those of the publication."""
    model = arm()
    data = mujoco.MjData(model)
    data.qpos[[3, 5]] = -0.5, -0.3  # elbow and wrist flex [rad]
    mujoco.mj_forward(model, data)
    inertia = np.zeros((7, 7))
    for row, unit in zip(inertia, np.eye(7), strict=True):
        mujoco.mj_mulM(model, data, row, unit)
    assert model.body_mass.sum() == pytest.approx(46.19, abs=0.005)  # [kg]
    np.testing.assert_allclose(np.diag(inertia)[[0, 1, 3]], [3.38, 2.20, 0.312], rtol=2e-3)  # [kg m^2]


def test_the_arm_starts_to_turn_as_the_published_one_does():
    model = arm()
    data = mujoco.MjData(model)
    data.ctrl[0] = 5.0  # [N m]
    mujoco.mj_step(model, data, nstep=2)
    assert data.qvel[0] == pytest.approx(0.027, abs=5e-4)  # [rad/s]


def test_the_pushers_arm_and_object_are_the_published_ones():
    model = table()
    np.testing.assert_allclose(model.dof_damping[:7], [1, 1, 0.1, 0.1, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(model.dof_armature, 0.04)
    np.testing.assert_array_equal(model.jnt_limited, 1)
    ranges = [[-2.2854, 2.0], [-0.5236, 1.3963], [-1.5, 1.7], [-2.3213, 0], [-1.5, 1.5], [-1.094, 0], [-1.5, 1.5]]
    np.testing.assert_allclose(model.jnt_range[:7], ranges)
    np.testing.assert_array_equal(model.opt.gravity, 0)
    assert (model.opt.timestep, model.opt.integrator) == (0.01, mujoco.mjtIntegrator.mjINT_EULER)
    assert model.body_mass.sum() == pytest.approx(13.67, abs=0.005)  # [kg], of density 300
    assert model.body_invweight0[model.body("object").id, 0] == pytest.approx(16.7, abs=0.05)  # [1/kg]


def test_the_cheetah_is_the_published_one(tasks):
    model = tasks["half-cheetah-pets"].env.model
    np.testing.assert_allclose(model.actuator_gear[:, 0], [120, 90, 60, 120, 60, 30])  # [N m]
    np.testing.assert_allclose(model.opt.gravity, [0, 0, -9.81])
    assert (model.opt.timestep, model.opt.integrator) == (0.01, mujoco.mjtIntegrator.mjINT_EULER)


def test_the_pusher_sees_places_and_joints_at_the_same_instant(tasks):
    """MuJoCo leaves the places of bodies one physics step behind the joints; the release observes them so."""
    system = tasks["pusher-7dof"].env
    obs = recorded(system, 5, 6)[-1][2]
    data = mujoco.MjData(system.model)
    data.qpos[:] = system.data.qpos
    mujoco.mj_kinematics(system.model, data)
    places = data.body("tips_arm").xpos, data.body("object").xpos
    np.testing.assert_allclose(obs, [*data.qpos[:7], *system.data.qvel[:7], *places[0], *places[1]], atol=1e-12)


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
