"""The MuJoCo tasks stepped from an observation, many at once, against the environments' own steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.envs.loading import load
from handful.models.known import KnownDynamics
from handful.planning.base import optimise
from handful.planning.cem import CEM
from handful.planning.problem import Problem
from handful.policies.simple import OpenLoop
from handful.propagation.distribution_sampling import Expectation, MomentMatching
from handful.propagation.trajectory_sampling import TSInf

NAMES = ["cartpole-swingup-mujoco", "reacher-7dof", "pusher-7dof", "half-cheetah-pets"]
ROWS = 60


@pytest.fixture(scope="module")
def tasks():
    return {name: load(name) for name in NAMES}


@pytest.fixture(scope="module")
def steps(tasks):
    """The step of each task: of one observation and action."""
    return {name: env.env.true_step() for name, env in tasks.items()}


@pytest.fixture(scope="module")
def batched(steps):
    """The same, compiled, for a batch."""
    return {name: eqx.filter_jit(jax.vmap(step)) for name, step in steps.items()}


def recorded(env, seed):
    """Random actions as the adapter takes them: obs, action, next_obs in float32, and which rows' object is at rest."""
    obs, rows = env.reset(seed=seed), []
    env.env.action_space.seed(seed)
    for _ in range(ROWS):
        at_rest = not env.env.data.qvel[7:9].any() if env.task.obs_size == 20 else True
        action = env.env.action_space.sample().astype(np.float32)
        next_obs, *_ = env.step(action)
        rows.append((obs, action, next_obs, at_rest))
        obs = next_obs
    return [np.stack(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_a_step_from_an_observation_is_the_environments_own(tasks, batched, name):
    """In float32, on numbers of order ten; the solver starts afresh here and warm there."""
    obs, action, next_obs, at_rest = recorded(tasks[name], 3)
    assert at_rest.sum() >= ROWS // 2
    got = np.asarray(batched[name](obs, action))
    np.testing.assert_allclose(got[at_rest], next_obs[at_rest], rtol=3e-5, atol=3e-5)
    assert np.abs(next_obs - obs).max() > 0.1


def test_the_pushers_object_is_taken_to_stand_still(tasks, batched):
    env, action = tasks["pusher-7dof"], np.linspace(-1.0, 1.5, 7, dtype=np.float32)
    env.reset(seed=4)
    env.env.data.qvel[7:9] = 0.4, -0.7  # along y and along x
    obs = env.env.seen(env.env.data, env.env.data).astype(np.float32)
    next_obs, *_ = env.step(action)
    got = np.asarray(batched["pusher-7dof"](obs[None], action[None])[0])
    np.testing.assert_allclose(got[:17], next_obs[:17], rtol=3e-5, atol=3e-5)
    np.testing.assert_allclose(got[17:], obs[17:], atol=1e-6)
    moved = next_obs[17:] - obs[17:]
    assert moved[0] < -0.01 < 0.01 < moved[1]


def test_a_batch_is_a_loop(tasks, steps):
    """Candidates x particles at once, one after the other on one thread, and what is beside a row is nothing to it."""
    step = steps["half-cheetah-pets"]
    obs, action, *_ = recorded(tasks["half-cheetah-pets"], 5)
    obs, action = obs[:6].reshape(2, 3, -1), action[:6].reshape(2, 3, -1)
    all_at_once = np.asarray(eqx.filter_jit(jax.vmap(jax.vmap(step)))(obs, action))
    one = eqx.filter_jit(step)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(all_at_once[i, j], one(obs[i, j], action[i, j]))
    assert len(np.unique(all_at_once[..., 1])) == 6


def test_the_same_step_wherever_the_cheetah_is_on_its_track(tasks, batched):
    env = tasks["half-cheetah-pets"]
    obs, action, next_obs, _ = recorded(env, 6)
    assert abs(env.env.data.qpos[0]) > 0.1
    got = batched["half-cheetah-pets"](obs, action)
    np.testing.assert_allclose(got[-1], next_obs[-1], rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_action_beyond_the_limits_is_the_nearest_one_within(tasks, batched, name):
    env = tasks[name]
    obs, high = env.reset(seed=2), np.asarray(env.task.high)
    pair = batched[name](np.stack([obs, obs]), np.stack([1.7 * high, high]))
    np.testing.assert_array_equal(pair[0], pair[1])


def test_what_is_not_finite_or_comes_apart_is_not_a_number(tasks, steps, tmp_path, monkeypatch):
    """And the row beside it is what it is without."""
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a warning there
    rollouts, env = steps["half-cheetah-pets"].rollouts, tasks["half-cheetah-pets"].env
    env.reset(seed=1)
    q, v, u = np.tile(env.data.qpos, (5, 1)), np.tile(env.data.qvel, (5, 1)), np.full((5, 6), 0.3)
    q[1, 2], v[2, 4], u[3, 1] = np.nan, np.inf, np.nan
    v[4] = 1e8  # finite, and more than any solver can follow
    after = rollouts(q, v, u)
    for value, wanted in zip(after, rollouts(q[:1], v[:1], u[:1]), strict=True):
        np.testing.assert_array_equal(value[0], wanted[0])
        assert np.isfinite(value[0]).all()
        assert np.isnan(value[1:]).all()


def test_all_particles_of_a_rollout_are_the_trial_itself(tasks, steps):
    """The model has no epistemic uncertainty and no noise, so all propagators agree."""
    env, plan = tasks["cartpole-swingup-mujoco"], jnp.array([[1.5], [-2.0], [0.7]])
    obs = env.reset(seed=7)
    model = KnownDynamics(steps["cartpole-swingup-mujoco"])
    propagators = [TSInf(2), MomentMatching(2), Expectation()]

    @eqx.filter_jit
    def all_of(key, obs):
        return [each(key, model, OpenLoop(plan), obs, 3).obs for each in propagators]

    rollouts = all_of(jax.random.key(0), obs)
    truth = np.stack([obs, *(env.step(np.asarray(action))[0] for action in plan)])
    for particles in rollouts:
        np.testing.assert_allclose(particles, np.broadcast_to(truth, particles.shape), rtol=3e-5, atol=3e-5)


def test_a_plan_is_worth_what_it_then_returns(tasks, steps):
    """And more than doing nothing, which lets a nearly upright pole fall."""
    env = tasks["cartpole-swingup-mujoco"]
    problem = Problem(env.task, KnownDynamics(steps["cartpole-swingup-mujoco"]), TSInf(1))
    planner = CEM(horizon=15, candidates=30, elites=5, iterations=3)
    start = np.array([0.1, 2.7, 0.0, 0.0], np.float32)

    @eqx.filter_jit
    def planned(key, obs):
        state, _ = optimise(planner, key, problem, obs, planner.init(problem))
        plan = planner.plan(state)
        return plan, problem.particle_returns(key, obs, plan)[0]

    def returned(plan):
        env.reset(seed=8)
        env.env.data.qpos[:], env.env.data.qvel[:] = start[:2], start[2:]
        return sum(env.step(np.asarray(action))[1] for action in plan)

    plan, planned_return = planned(jax.random.key(1), start)
    assert returned(plan) == pytest.approx(float(planned_return), rel=1e-4)
    assert float(planned_return) > returned(np.zeros((15, 1))) + 1.0
