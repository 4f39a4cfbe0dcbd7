"""What a belief of a user's own gets from its base class, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from fitting import KEY, TASK, recorded
from handful.errors import InputError
from handful.fields import real
from handful.models.base import AbstractDynamics, AbstractLearner, AbstractWorld, FitReport
from handful.planning.cem import CEM
from handful.planning.mpc import MPC
from handful.planning.problem import Problem
from handful.propagation.distribution_sampling import Expectation
from handful.propagation.trajectory_sampling import TSInf
from handful.types import Prediction
from probes import same, task_of

OBS, ACTION = jnp.array([0.7, -1.3]), jnp.array([0.4])
MEAN, ALEATORIC, EPISTEMIC = np.array([0.9, -1.7]), np.array([0.04, 0.25]), np.array([0.49, 0.09])
DRAWS = 4000


class Own(AbstractDynamics):
    """Only `predict`, which is all that a belief must have."""

    gain: Array = real(0.5)

    def predict(self, obs, action):
        mean = obs + self.gain * jnp.array([action[0], -2 * action[0]])
        return Prediction(mean, jnp.asarray(ALEATORIC, obs.dtype), jnp.asarray(EPISTEMIC, obs.dtype))


class Shaped(AbstractDynamics):
    """Returns whatever it is made with."""

    answer: object

    def predict(self, obs, action):
        return self.answer


class Learner(AbstractLearner):
    """Its new state is the first target, or what it is given."""

    new: object = None

    def init(self, key, task):
        return {"weights": jnp.array([1.0, 2.0]), "steps": jnp.asarray(3)}

    def update(self, key, state, data):
        weights = data.transitions.next_obs[0] if self.new is None else self.new
        one = jnp.zeros(1)
        return state | {"weights": weights}, FitReport(one, one, jnp.asarray(1), jnp.zeros(1, bool))

    def model(self, state):
        return Own()


def test_worlds_and_samples_have_the_variances_that_are_predicted():
    """Means to 5 stds of their error, variances to 5 times sqrt(2 / DRAWS); both false alarms below 1e-5."""
    belief, keys = Own(), jax.random.split(KEY, DRAWS)
    worlds = belief.worlds(KEY, DRAWS)
    means = eqx.filter_vmap(lambda world: world.predict(OBS, ACTION))(worlds)
    samples = jax.vmap(lambda key: belief.sample(key, OBS, ACTION))(keys)
    for values, variance in ((means.mean, EPISTEMIC), (samples, ALEATORIC + EPISTEMIC)):
        np.testing.assert_allclose(values.mean(0), MEAN, atol=5 * np.sqrt(variance / DRAWS).max())
        np.testing.assert_allclose(values.var(0), variance, rtol=5 * np.sqrt(2 / DRAWS))
    np.testing.assert_allclose(means.aleatoric, np.tile(ALEATORIC, (DRAWS, 1)), rtol=1e-6)
    np.testing.assert_array_equal(means.epistemic, 0.0)
    world = jax.tree.map(lambda leaf: leaf[1], worlds)
    assert (belief.world_count, world.world_count) == (None, 1)
    same(world.predict(OBS, ACTION), world.predict(OBS, ACTION))  # one function, whenever it is called
    noisy = jax.vmap(lambda key: world.sample(key, OBS, ACTION))(keys)
    np.testing.assert_allclose(noisy.var(0), ALEATORIC, rtol=5 * np.sqrt(2 / DRAWS))


def test_predict_is_enough_to_be_planned_with():
    task = task_of(lambda obs, action, next_obs: -jnp.sum(next_obs**2), 2, [-1.0], [1.5])
    controller = MPC(CEM(3, candidates=20, iterations=2), Problem(task, Own(), TSInf(4)))
    action, carry = eqx.filter_jit(controller)(KEY, OBS, controller.init())
    assert -1 <= action[0] <= 1.5
    assert np.isfinite(carry.forecast.planned_return)
    assert carry.forecast.planned_std > 0, "particles differ by the world and by the noise"


SHORT, FULL = jnp.zeros(1), jnp.zeros(2)
WRONG = [
    (FULL, r"Shaped\.predict must return a Prediction, got an array"),
    (Prediction(SHORT, SHORT, SHORT), r"Shaped\.predict must return a mean of .* shape \(2,\), got \(1,\)"),
]


@pytest.mark.parametrize(("answer", "message"), WRONG, ids=["type", "shape"])
@pytest.mark.parametrize("propagator", [TSInf(2), Expectation()], ids=["sampled", "mean"])
def test_a_prediction_of_another_shape_is_refused(answer, message, propagator):
    controller = MPC(CEM(2, candidates=4, iterations=1), Problem(TASK, Shaped(answer), propagator))
    with pytest.raises(InputError, match=message):
        eqx.filter_jit(controller)(KEY, OBS, controller.init())


def test_a_sample_of_another_shape_is_refused():
    class Sampling(AbstractWorld):
        def predict(self, obs, action):
            return Prediction(obs, 0 * obs, 0 * obs)

        def sample(self, key, obs, action):
            return obs[:1]

    controller = MPC(CEM(2, candidates=4, iterations=1), Problem(TASK, Sampling(), TSInf(2)))
    with pytest.raises(InputError, match=r"Sampling\.sample must return .* shape \(2,\), got \(1,\)"):
        controller(KEY, OBS, controller.init())


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_fit_that_is_not_finite_leaves_the_state_as_it_was(poison):
    data, fit = recorded([4], 8), eqx.filter_jit(lambda one, state, data: one.fit(KEY, state, data))
    state = Learner().init(KEY, TASK)
    fitted, report = fit(Learner(), state, data)
    np.testing.assert_array_equal(fitted["weights"], data.transitions.next_obs[0])
    assert not report.diverged.any()
    broken = eqx.tree_at(lambda d: d.transitions.next_obs, data, data.transitions.next_obs.at[0, 1].set(poison))
    kept, report = fit(Learner(), fitted, broken)
    same(kept, fitted)
    assert report.diverged.all()


def test_a_state_of_another_shape_is_refused():
    one = Learner(jnp.zeros(3))
    with pytest.raises(InputError, match=r"Learner\.update must return a state .*\(2,\).*, got .*\(3,\)"):
        one.fit(KEY, one.init(KEY, TASK), recorded([4], 8))
