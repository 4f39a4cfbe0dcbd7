"""The true dynamics as a model: the environment's own step, without data, for tasks that declare it."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.data.dataset import Dataset
from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.cartpole_mujoco import cartpole_swingup_mujoco
from handful.envs.cartpole_v1 import CartPoleV1
from handful.envs.gymnasium_adapter import GymnasiumEnv
from handful.envs.loading import load
from handful.envs.mountain_car import MountainCar
from handful.envs.pendulum import Pendulum
from handful.envs.physics import truth_of
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.models.score import FLOOR, one_step
from handful.policies.simple import UniformPolicy
from handful.training.rollout import episode


@pytest.mark.parametrize("kind", [CartPoleSwingUp, CartPoleV1, MountainCar, Pendulum, PointMass])
def test_it_predicts_a_trial_exactly(kind):
    """Its score is the best that there is: no error, and the density of the least std that counts."""
    env = kind()
    task = env.task

    @eqx.filter_jit
    def scored(key):
        piece = episode(key, env, UniformPolicy.of(task))
        model = truth_of(env).belief
        predicted = jax.vmap(model.predict)(piece.transitions.obs, piece.transitions.action)
        return piece.transitions, predicted, one_step(key, model, piece.transitions, piece.valid, angles=task.angles)

    rows, predicted, score = scored(jax.random.key(5))
    np.testing.assert_allclose(predicted.mean, rows.next_obs, rtol=1e-6, atol=1e-6)
    assert not predicted.aleatoric.any()
    assert not predicted.epistemic.any()
    assert score.rmse < 1e-5
    least = np.log(FLOOR) + np.log(2 * np.pi) / 2
    assert least <= score.nll < least + 30  # float32 in another order of operations: some errors of a few floors


def test_a_fit_takes_no_step_and_changes_nothing():
    env = PointMass()
    learner = truth_of(env)
    state = learner.init(jax.random.key(0), env.task)
    fitted, report = learner.fit(jax.random.key(1), state, Dataset.empty(env.task, 3))
    assert fitted is state is None
    assert report.steps == 0
    assert np.isnan(report.loss).all()
    assert not report.diverged.any()
    assert learner.model(fitted) is learner.belief


def test_a_heavier_mass_moves_less_and_compiles_nothing():
    """The constants of the environment are leaves of the belief."""
    light = truth_of(PointMass()).belief
    heavy = truth_of(eqx.tree_at(lambda env: env.mass, PointMass(), PointMass().mass * 3)).belief
    traces = []

    @eqx.filter_jit
    def predicted(model, obs, action):
        traces.append(True)
        return model.predict(obs, action).mean

    obs, action = jnp.zeros(4), jnp.array([0.7, -0.4])
    assert (jnp.abs(predicted(heavy, obs, action)) < jnp.abs(predicted(light, obs, action)))[2:].all()
    assert len(traces) == 1


def test_mujoco_is_stepped_by_its_own_task():
    env = cartpole_swingup_mujoco()
    obs, action = env.reset(seed=3), np.array([1.5], np.float32)
    predicted = eqx.filter_jit(truth_of(env).belief.predict)(jnp.asarray(obs), jnp.asarray(action))
    np.testing.assert_allclose(predicted.mean, env.step(action)[0], rtol=1e-5, atol=1e-6)


class Mine(gymnasium.Env):
    """Somebody's own system."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def reset(self, *, seed=None, options=None):
        return np.zeros(2), {}


@pytest.mark.parametrize(("env", "got"), [(lambda: GymnasiumEnv(Mine()), "Mine"), (lambda: None, "no task")])
def test_a_task_without_a_declared_truth_is_one_sentence(env, got):
    with pytest.raises(InputError, match=f"only where a task declares them as `truth`, .* got {got}; leave --model"):
        truth_of(env())


def test_a_users_file_declares_the_truth_of_its_own_environment(tmp_path):
    """For a `gymnasium.Env`; the function gets the adapted environment."""
    path = tmp_path / "true_rig.py"
    path.write_text(
        "import gymnasium\nimport numpy as np\nfrom handful import KnownDynamics\n"
        "from handful.models.known import KnownLearner\n"
        "class Rig(gymnasium.Env):\n"
        "    gain = 0.25\n"
        "    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float64)\n"
        "    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)\n"
        "    def reset(self, *, seed=None, options=None): return np.zeros(1), {}\n"
        "def truth(env):\n"
        "    return KnownLearner(KnownDynamics(lambda obs, action: obs + env.env.unwrapped.gain * action[0]))\n"
    )
    belief = truth_of(load(f"{path}:Rig")).belief
    np.testing.assert_allclose(belief.predict(jnp.array([1.5]), jnp.array([0.5])).mean, [1.625])
    path.write_text(path.read_text() + "truth = 3\n")
    with pytest.raises(InputError, match=r"only where a task declares them as `truth`, .* got Rig; leave --model"):
        truth_of(load(f"{path}:Rig"))
