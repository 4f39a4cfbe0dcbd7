"""Bayesian least squares against float64 formulas, its own predictive distribution, and bad data."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fitting import FIT, finite
from handful.data.dataset import Dataset
from handful.errors import InputError
from handful.models.known import KnownDynamics
from handful.models.linear import BayesianLinear, LinearLearner
from handful.planning.base import optimise
from handful.planning.ilqr import ILQR
from handful.planning.lqr import Regulator, riccati
from handful.planning.problem import Problem
from handful.policies.simple import UniformPolicy
from handful.propagation.distribution_sampling import Expectation
from handful.types import Transition
from probes import Linear, at, close, counted, jitted, same, task_of

KEY = jax.random.key(12)
DRAWS = 100_000
A = np.array([[0.8, 0.1, -0.3], [0.3, 0.6, 0.2], [0.0, -0.4, 0.9]])
B = np.array([[0.5, -0.1], [-0.9, 0.3], [0.2, 0.7]])
C = np.array([0.4, -1.1, 0.2])
NOISE = np.array([0.04, 0.3, 0.1])
OBS, ACTION = np.array([0.9, -1.4, 0.3]), np.array([0.6, -0.35])


def task(**settings):
    return task_of(lambda obs, action, next_obs: obs[0], 3, [-1.0, -0.8], [1.5, 0.4], **settings)


def rows(count, seed=1):
    """Observations, actions and next observations of that many steps, in float64."""
    rng = np.random.default_rng(seed)
    obs, action = rng.normal([0.4, -2.0, 1.0], [1.3, 0.7, 2.0], (count, 3)), rng.uniform(-1, 1.5, (count, 2))
    return obs, action, obs @ A.T + action @ B.T + C + NOISE * rng.normal(size=(count, 3))


def dataset(obs, action, next_obs, capacity=64):
    count = len(obs)
    numbers = [jnp.asarray(np.pad(x, [(0, capacity - count), (0, 0)]), jnp.float32) for x in (obs, action, next_obs)]
    no = jnp.zeros(capacity, bool)
    transitions = Transition(numbers[0], numbers[1], jnp.ones(capacity), numbers[2], no, no)
    return Dataset(transitions, jnp.asarray(np.where(np.arange(capacity) < count, 0, -1)), jnp.asarray(count))


def fitted(data, learner=None, of=None):
    learner = learner or LinearLearner()
    return FIT(learner, KEY, jitted(learner.init, KEY, of or task()), data)


def regression(belief, data):
    """Standardised regressors and targets in float64, on the scales of the belief."""
    seen, scales = data.transitions, (belief.map.input_scale, belief.map.target_scale)
    obs, action, next_obs = (np.asarray(x, float)[: int(data.count)] for x in (seen.obs, seen.action, seen.next_obs))
    (mx, sx), (my, sy) = ((np.asarray(s.mean, float), np.asarray(s.std, float)) for s in scales)
    inputs = (np.concatenate([obs, action], axis=1) - mx) / sx
    return np.concatenate([inputs, np.ones((len(obs), 1))], axis=1), (next_obs - obs - my) / sy


def test_the_posterior_is_its_closed_form_and_its_mode_is_ridge_regression():
    """A strong prior on 20 rows, all in float64 but the fit: float32 keeps five digits of so small a problem."""
    learner, data = LinearLearner(ridge=3.7, noise_shape=2.6, noise_scale=0.8), dataset(*rows(20))
    belief, report = fitted(data, learner)
    X, Y = regression(belief, data)
    precision = X.T @ X + 3.7 * np.eye(6)
    mean = np.linalg.solve(precision, X.T @ Y)
    np.testing.assert_allclose(belief.map.weights, mean, rtol=1e-4, atol=1e-5)
    root = np.asarray(belief.root, float)
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(precision), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(belief.noise_shape, 2.6 + 10)
    scale = 0.8 + (np.sum(Y**2, axis=0) - np.sum(mean * (precision @ mean), axis=0)) / 2
    np.testing.assert_allclose(belief.noise_scale, scale, rtol=1e-4)
    np.testing.assert_allclose(belief.noise_var, scale / 11.6, rtol=1e-4)
    loss = np.mean((Y - X @ mean) ** 2 / (scale / 11.6) + np.log(scale / 11.6))
    np.testing.assert_allclose(report.loss, [loss], rtol=1e-4)
    assert np.isnan(report.validation_nll).all()
    assert (report.steps, report.diverged.tolist()) == (0, [False])


@pytest.mark.parametrize("apart", [1.0, 1e-3], ids=["independent", "nearly the same"])
def test_raw_matrices_are_least_squares_to_float32(apart):
    """Columns 1e-3 apart have a condition of 2e3: float32 (6e-8) leaves them 1e-4; normal equations would leave 0.2."""
    obs, action, _ = rows(60)
    obs[:, 1] = obs[:, 0] + apart * obs[:, 1]
    obs, action = (x.astype(np.float32).astype(float) for x in (obs, action))
    next_obs = obs @ A.T + action @ B.T + C + 1e-3 * NOISE * np.random.default_rng(2).normal(size=(60, 3))
    belief, _ = fitted(dataset(obs, action, next_obs), LinearLearner(ridge=1e-9))
    X = np.concatenate([obs, action, np.ones((60, 1))], axis=1)
    expected, *_ = np.linalg.lstsq(X, next_obs.astype(np.float32).astype(float))
    found = np.concatenate([np.asarray(part).reshape(3, -1) for part in jitted(belief.matrices)], axis=1)
    np.testing.assert_allclose(found, expected.T, atol=1e-5 if apart == 1.0 else 2e-3)


def test_raw_matrices_are_the_mean_and_a_worlds_its_own():
    belief, _ = fitted(dataset(*rows(30)))
    world = at(jitted(belief.worlds, KEY, 3), 1)
    own = jitted(belief.matrices)
    for model, matrices in ((belief, own), (world, jitted(world.map.matrices))):
        matrices = jax.device_get(matrices)  # noqa: PLW2901
        expected = matrices[0] @ OBS + matrices[1] @ ACTION + matrices[2]
        np.testing.assert_allclose(
            jitted(model.predict, jnp.float32(OBS), jnp.float32(ACTION)).mean, expected, rtol=1e-5
        )
    np.testing.assert_allclose(own[0], A, atol=0.25)  # 30 rows with noise of 0.3
    assert np.abs(np.asarray(world.map.weights) - np.asarray(belief.map.weights)).max() > 1e-3


def test_raw_matrices_leave_out_what_is_never_an_input():
    of = task(memoryless=(1,))
    obs, action, next_obs = rows(60)
    belief, _ = fitted(dataset(obs, action, next_obs - np.outer(obs[:, 1], A[:, 1])), of=of)
    found, push, _ = jax.device_get(jitted(belief.matrices))
    np.testing.assert_array_equal(found[:, 1], 0.0)
    np.testing.assert_allclose(found[:, [0, 2]], A[:, [0, 2]], atol=0.15)
    np.testing.assert_allclose(push, B, atol=0.2)


def test_angles_have_no_matrices_but_are_regressed_on():
    """next_obs = obs + sin(angle) plus actions, seen from angles many turns apart."""
    of = task(angles=(1,))
    obs, action, _ = rows(60)
    obs[:, 1] = np.random.default_rng(3).uniform(-9, 9, 60)
    pulled = lambda obs, action: obs + 0.3 * np.sin(obs[..., 1:2]) * np.array([1.0, -2.0, 3.0]) + action @ B.T
    belief, _ = fitted(dataset(obs, action, pulled(obs, action)), of=of)
    close(jitted(belief.predict, jnp.float32(OBS), jnp.float32(ACTION)).mean, pulled(OBS, ACTION), atol=1e-3)
    with pytest.raises(InputError, match=r"tasks without angles.*\(1,\)"):
        belief.matrices()


@pytest.fixture(scope="module")
def doubtful():
    """Ten rows for six weights: the uncertainty of the weights is as large as the noise. And 100k of its worlds."""
    belief, _ = fitted(dataset(*rows(10)), LinearLearner(ridge=0.5, noise_shape=3.0, noise_scale=0.4))
    return belief, eqx.filter_jit(lambda belief: belief.worlds(KEY, DRAWS))(belief)


def student(belief):
    """The predictive distribution at OBS and ACTION: degrees of freedom, mean and scale, in float64."""
    scales = [np.asarray(x, float) for x in (belief.map.input_scale.mean, belief.map.input_scale.std)]
    phi = np.append((np.concatenate([OBS, ACTION]) - scales[0]) / scales[1], 1.0)
    shape, scale = float(belief.noise_shape), np.asarray(belief.noise_scale, float)
    epistemic = phi @ np.asarray(belief.root, float)
    spread = np.asarray(belief.map.target_scale.std) * np.sqrt(scale / shape * (1 + epistemic @ epistemic))
    target = np.asarray(belief.map.target_scale.mean) + np.asarray(belief.map.target_scale.std) * (
        phi @ np.asarray(belief.map.weights, float)
    )
    return scipy.stats.t(2 * shape, OBS + target, spread)


def test_both_variances_together_are_the_student_t_ones(doubtful):
    belief, _ = doubtful
    prediction, expected = jitted(belief.predict, jnp.float32(OBS), jnp.float32(ACTION)), student(belief)
    prediction = jax.device_get(prediction)
    np.testing.assert_allclose(prediction.mean, expected.mean(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(prediction.aleatoric + prediction.epistemic, expected.var(), rtol=1e-4)
    assert (prediction.epistemic > 0.2 * prediction.aleatoric).all()


def test_worlds_have_the_beliefs_two_variances(doubtful):
    """Within 5 standard errors, taken from the draws themselves: 6e-7 false alarms a number."""
    belief, worlds = doubtful
    one = eqx.filter_jit(eqx.filter_vmap(lambda world: world.predict(jnp.float32(OBS), jnp.float32(ACTION))))
    each, whole = jax.device_get((one(worlds), jitted(belief.predict, jnp.float32(OBS), jnp.float32(ACTION))))
    np.testing.assert_array_equal(each.epistemic, 0.0)
    for values, expected in (
        (each.mean, whole.mean),
        (each.aleatoric, whole.aleatoric),
        ((each.mean - whole.mean) ** 2, whole.epistemic),
    ):
        draws = np.asarray(values, float)
        error = draws.std(0) / np.sqrt(DRAWS)
        assert (np.abs(draws.mean(0) - expected) < 5 * error + 1e-6).all()


def test_a_step_of_the_belief_is_a_student_t_draw(doubtful):
    """Kolmogorov and Smirnov at 1e-6 false alarms an entry, for steps of the belief and for steps of its worlds."""
    belief, worlds = doubtful
    step = lambda model, key: model.sample(key, jnp.float32(OBS), jnp.float32(ACTION))
    keys = jax.random.split(jax.random.key(5), DRAWS)
    for axis, model in ((None, belief), (0, worlds)):
        draws = np.asarray(eqx.filter_jit(eqx.filter_vmap(step, in_axes=(axis, 0)))(model, keys), float)
        for entry in range(3):
            of = student(belief)
            cdf = lambda x, entry=entry, of=of: of.cdf(np.stack([x] * 3, axis=-1))[:, entry]
            assert scipy.stats.kstest(draws[:, entry], cdf).pvalue > 1e-6


def test_weights_are_drawn_with_the_worlds_own_noise(doubtful):
    """Given its noise a weight is Gaussian; over all worlds it is a Student t."""
    belief, worlds = doubtful
    off = np.asarray(np.asarray(worlds.map.weights) - np.asarray(belief.map.weights), float)
    cov = np.asarray(belief.root, float) @ np.asarray(belief.root, float).T
    given = off / np.sqrt(np.asarray(worlds.var, float))[:, None, :]
    for output in range(3):
        error = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / DRAWS)
        assert (np.abs(given[:, :, output].T @ given[:, :, output] / DRAWS - cov) < 5 * error).all()
        shape, scale = float(belief.noise_shape), float(belief.noise_scale[output])
        marginal = scipy.stats.t(2 * shape, 0.0, np.sqrt(scale / shape * cov[3, 3]))
        assert scipy.stats.kstest(off[:, 3, output], marginal.cdf).pvalue > 1e-6
    assert belief.world_count is None


def test_worlds_of_a_world_are_itself_and_its_noise_is_its_own(doubtful):
    _, worlds = doubtful
    world = at(worlds, 3)
    assert world.world_count == 1
    same(jitted(world.worlds, KEY, 4), jax.tree.map(lambda leaf: np.broadcast_to(leaf, (4, *leaf.shape)), world))
    prediction = jax.device_get(jitted(world.predict, jnp.float32(OBS), jnp.float32(ACTION)))
    keys = jax.random.split(KEY, 20_000)
    draw = jax.vmap(lambda key: world.sample(key, jnp.float32(OBS), jnp.float32(ACTION)))
    draws = np.asarray(jitted(draw, keys), float)
    np.testing.assert_allclose(draws.var(0), prediction.aleatoric, rtol=5 * np.sqrt(2 / 20_000))
    error = np.sqrt(prediction.aleatoric / 20_000)
    assert (np.abs(draws.mean(0) - prediction.mean) < 5 * error).all()


def test_doubt_shrinks_with_data_and_grows_away_from_them():
    few, many = (fitted(dataset(*rows(count)))[0] for count in (12, 60))
    here, far = jnp.float32(OBS), jnp.float32(30 * OBS)
    doubt = [
        np.asarray(jitted(model.predict, obs, jnp.float32(ACTION)).epistemic)
        for model in (few, many)
        for obs in (here, far)
    ]
    assert (doubt[2] < doubt[0]).all()
    assert (doubt[3] > 50 * doubt[2]).all()
    noise = jitted(many.predict, here, jnp.float32(ACTION)).aleatoric
    np.testing.assert_allclose(noise, NOISE**2, rtol=5 * np.sqrt(2 / 54))  # 54 degrees of freedom, 5 standard errors


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", [0, 1, 2], ids=["obs", "action", "next_obs"])
def test_rows_that_are_not_finite_count_for_nothing(part, value):
    good = rows(30)
    broken = [np.insert(x, 7, x[3], axis=0) for x in good]
    broken[part][7, 1] = value
    expected, _ = fitted(dataset(*good))
    belief, report = fitted(dataset(*broken))
    close(belief, expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(report.loss).all()
    assert not report.diverged.any()


def test_no_usable_rows_give_the_prior():
    """In units of one: noise 1e-3, weights of variance 1e-3 / ridge, and the epistemic variance in addition."""
    learner = LinearLearner(ridge=0.01, noise_shape=2.0, noise_scale=1e-3)
    prior = jitted(learner.init, KEY, task())
    assert isinstance(prior, BayesianLinear)
    prediction = jitted(prior.predict, jnp.float32(OBS), jnp.float32(ACTION))
    np.testing.assert_array_equal(prediction.mean, jnp.float32(OBS))
    np.testing.assert_allclose(prediction.aleatoric, 1e-3, rtol=1e-5)
    np.testing.assert_allclose(prediction.epistemic, 0.1 * (1 + OBS @ OBS + ACTION @ ACTION), rtol=1e-5)
    nothing = [np.full_like(x, np.nan) for x in rows(9)]
    for data in (Dataset.empty(task(), 64), dataset(*nothing)):
        belief, report = fitted(data, learner)
        close(belief, prior, rtol=1e-6)
        assert report.loss == 0.0


def spoilt(kind):
    obs, action, next_obs = rows(40)
    if kind == "one row again and again":
        obs, action, next_obs = (np.repeat(x[:1], 40, axis=0) for x in (obs, action, next_obs))
    if kind == "every row twice":
        obs, action, next_obs = (np.repeat(x[:20], 2, axis=0) for x in (obs, action, next_obs))
    if kind == "constant columns":
        obs[:, 2], action[:, 0], next_obs[:, 2] = 1e4, -0.3, 1e4
    if kind == "fewer rows than columns":
        obs, action, next_obs = (x[:3] for x in (obs, action, next_obs))
    if kind == "one row":
        obs, action, next_obs = (x[:1] for x in (obs, action, next_obs))
    if kind == "a column that is another":
        obs[:, 1] = obs[:, 0]
    if kind == "a column that is the sum of others":
        obs[:, 1] = obs[:, 0] + action[:, 0] - 2 * action[:, 1]
    if kind == "no noise":
        next_obs = obs @ A.T + action @ B.T + C
    return obs, action, next_obs


SPOILT = [
    "one row again and again",
    "every row twice",
    "constant columns",
    "fewer rows than columns",
    "one row",
    "a column that is another",
    "a column that is the sum of others",
    "no noise",
]


@pytest.mark.parametrize("ridge", [1e-3, 1e-30], ids=["default ridge", "hardly any ridge"])
@pytest.mark.parametrize("kind", SPOILT)
def test_poor_data_leave_a_sound_belief(kind, ridge):
    """What was seen is predicted within the epistemic variance of the belief, and draws are finite."""
    obs, action, next_obs = spoilt(kind)
    belief, report = fitted(dataset(obs, action, next_obs), LinearLearner(ridge=ridge))
    assert finite(belief)
    assert not report.diverged.any()
    predicted = jax.device_get(jitted(jax.vmap(belief.predict), jnp.float32(obs), jnp.float32(action)))
    assert finite(predicted)
    assert finite(jitted(belief.worlds, KEY, 7))
    error = np.abs(predicted.mean - next_obs) / np.sqrt(predicted.aleatoric + predicted.epistemic)
    assert error.max() < 5
    if kind == "a column that is another":  # which of the two it is stays open: their difference was never seen
        gap = jnp.float32([1.0, -1.0, 0.0])
        apart = jitted(belief.predict, jnp.float32(obs[0]) + gap, jnp.float32(action[0])).epistemic
        assert (apart > 10 * predicted.epistemic[0]).all()


def test_outputs_of_all_scales_are_fitted_alike():
    """The same system with its entries in units 1e-4, 1 and 1e4 as large: the same answer in those units."""
    obs, action, next_obs = rows(60)
    units = np.array([1e-4, 1.0, 1e4])
    plain, _ = fitted(dataset(obs, action, next_obs))
    scaled, _ = fitted(dataset(obs * units, action, next_obs * units))
    expected = jax.device_get(jitted(plain.predict, jnp.float32(OBS), jnp.float32(ACTION)))
    found = jax.device_get(jitted(scaled.predict, jnp.float32(OBS * units), jnp.float32(ACTION)))
    np.testing.assert_allclose(found.mean / units, expected.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.aleatoric / units**2, expected.aleatoric, rtol=1e-3)
    np.testing.assert_allclose(found.epistemic / units**2, expected.epistemic, rtol=1e-3)


def test_numbers_beyond_float32_leave_the_last_good_belief():
    """A finite observation of 1e30 has no variance in float32."""
    good, _ = fitted(dataset(*rows(30)))
    obs, action, next_obs = rows(30)
    next_obs[4, 2] = 1e30
    belief, report = FIT(LinearLearner(), KEY, good, dataset(obs, action, next_obs))
    same(belief, good)
    assert report.diverged.tolist() == [True]


def test_more_data_and_another_prior_compile_nothing():
    compiled, traces = counted(lambda learner, state, data: learner.fit(KEY, state, data))
    state = jitted(LinearLearner().init, KEY, task())
    one, _ = compiled(LinearLearner(), state, dataset(*rows(20)))
    two, _ = compiled(LinearLearner(), one, dataset(*rows(50)))
    other, _ = compiled(LinearLearner(ridge=5.0, noise_shape=4.0, noise_scale=0.1), two, dataset(*rows(50)))
    assert traces.count == 1
    assert two.noise_shape == one.noise_shape + 15
    assert np.abs(other.map.weights).max() < np.abs(two.map.weights).max() - 1e-3
    same(LinearLearner().model(one), one)


@pytest.mark.parametrize(("field", "value"), [("ridge", 0.0), ("noise_shape", 1.0), ("noise_scale", -0.1)])
def test_a_prior_that_is_none_is_refused(field, value):
    with pytest.raises(InputError, match=f"{field} must be above .*, got {value:g}"):
        LinearLearner(**{field: value})
    jax.jit(lambda x: dataclasses.replace(LinearLearner(), **{field: x}).ridge)(2.0)


# The lecture's claim: act at random once, fit a linear system, plan once, and do about as well as the optimum.
CART = np.array([[1.0, 0.1], [-0.1, 0.9]]), np.array([[0.005], [0.1]])
SHAKE, STEPS, AHEAD, START = jnp.array([0.003, 0.01]), 100, 30, jnp.array([1.5, -0.8])


def cart_reward(obs, action, next_obs):
    return -(obs @ jnp.diag(jnp.array([1.0, 0.2])) @ obs + 0.1 * action @ action)


@eqx.filter_jit
def planned_once(key):
    """Returns on the true system, without its noise, of the regulator and of iLQR on what was learned."""
    trial_key, fit_key, plan_key = jax.random.split(key, 3)
    of = task_of(cart_reward, 2, [-5.0], [5.0])
    truth, base = Linear(*map(jnp.float32, CART)), UniformPolicy.of(of)

    def act(obs, key):
        action_key, noise_key = jax.random.split(key)
        action, _ = base(action_key, obs, None)
        following = truth(obs, action) + SHAKE * jax.random.normal(noise_key, (2,))
        no = jnp.asarray(False)
        return following, Transition(obs, action, cart_reward(obs, action, following), following, no, no)

    _, seen = jax.lax.scan(act, START, jax.random.split(trial_key, STEPS))
    learner = LinearLearner()
    state, _ = learner.fit(fit_key, learner.init(fit_key, of), Dataset(seen, jnp.zeros(STEPS, int), jnp.asarray(STEPS)))
    belief = learner.model(state)

    A, B, c = belief.matrices()  # the constant is a state that stays one
    wide = jnp.block([[A, c[:, None]], [jnp.zeros((1, 2)), jnp.ones((1, 1))]]), jnp.concatenate([B, jnp.zeros((1, 1))])
    gains, _ = riccati(*wide, jnp.diag(jnp.array([1.0, 0.2, 0.0])), 0.1 * jnp.eye(1), jnp.zeros((3, 3)), horizon=AHEAD)
    regulated = jax.lax.scan(lambda obs, gain: (truth(obs, u := -gain @ jnp.append(obs, 1.0)), u), START, gains)[1]

    planner, learned = ILQR(AHEAD, iterations=3), Problem(of, belief, Expectation())
    search, _ = optimise(planner, plan_key, learned, START, planner.init(learned))
    plans = jnp.stack([regulated, planner.plan(search), jnp.zeros_like(regulated)])
    return Problem(of, KnownDynamics(truth), Expectation()).evaluate(plan_key, START, plans), plans


def test_one_random_trial_and_one_plan_come_close_to_the_optimum():
    """100 noisy steps, 5 seeds. Of what is to be won over doing nothing the regulator misses 0.15 % at the worst, iLQR,
    whose plan is open-loop, 1.2 %; about the double is allowed.
    """
    returns, plans = jax.vmap(planned_once)(jax.random.split(jax.random.key(3), 5))
    true = Regulator(*map(jnp.float32, CART), jnp.diag(jnp.array([1.0, 0.2])), 0.1 * jnp.eye(1))
    optimum = true.optimal_return(START, AHEAD)
    assert np.abs(plans).max() < 5.0, "the limits do not bind"
    miss = (optimum - returns) / (optimum - returns[:, 2:])
    assert (miss[:, :2] > 0).all()
    assert (miss[:, 0] < 0.003).all()
    assert (miss[:, 1] < 0.025).all()
