"""Physics: coordinates, integration, the posterior against closed forms and grids, and bad data and input."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from scipy.integrate import solve_ivp

from fitting import finite
from handful.data.dataset import Dataset
from handful.envs.cartpole import CartPoleSwingUp
from handful.envs.pendulum import Pendulum
from handful.envs.physics import physics_of
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.fields import real
from handful.models.identified import identified
from handful.models.laplace import gaussian_at, lbfgs
from handful.models.physics_laws import Acceleration, Derivative, Map
from handful.models.physics_learner import PhysicsLearner
from handful.models.physics_parameters import Parameter, Parameters
from handful.planning.problem import Problem
from handful.policies.simple import UniformPolicy
from handful.propagation.trajectory_sampling import TSInf
from handful.task import Task
from handful.training.rollout import episode
from handful.types import Transition
from probes import at, close, counted, differ, jitted, same, shaken, task_of

KEY = jax.random.key(5)
FIT = eqx.filter_jit(lambda learner, state, data: learner.fit(KEY, state, data))
TASK = task_of(lambda obs, action, next_obs: -(next_obs[0] ** 2), 2, [-2.0], [1.5], angles=(0,))
GRAVITY, LENGTH, DRAG, NOISE = 9.81, 0.8, 0.3, np.array([0.01, 0.05])


class Swing(eqx.Module):
    """A damped point pendulum of known mass, hanging at zero."""

    gravity: Float[Array, ""] = real(GRAVITY)

    def __call__(self, obs, action, parameters):
        length = parameters["length"]
        torque = action - parameters["drag"] * obs[1:]
        return torque / length**2 - self.gravity / length * jnp.sin(obs[:1])


LENGTHS = [Parameter("length", 1.1, low=0.0, prior_std=0.4), Parameter("drag", 0.5, low=0.0, high=2.0, prior_std=0.6)]


def learner(**settings):
    return PhysicsLearner(Acceleration(Swing()), LENGTHS, **settings)


def step_in_numpy(obs, action, length, drag):
    """Pendulum by RK4, a second implementation; obs [b 2], action [b 1]."""

    def derivative(x):
        faster = (action[:, 0] - drag * x[:, 1]) / length**2 - GRAVITY / length * np.sin(x[:, 0])
        return np.stack([x[:, 1], faster], 1)

    h = 0.1 / 2
    for _ in range(2):
        a = derivative(obs)
        b = derivative(obs + h / 2 * a)
        c = derivative(obs + h / 2 * b)
        obs = obs + h / 6 * (a + 2 * b + 2 * c + derivative(obs + h * c))
    return obs


def dataset(obs, action, next_obs, capacity=48, task=TASK):
    obs, action, next_obs = (jnp.asarray(x, jnp.float32) for x in (obs, action, next_obs))
    no = jnp.zeros(obs.shape[0], bool)
    return Dataset.empty(task, capacity).add(Transition(obs, action, no * 1.0, next_obs, no, no), 0)


def swings(rows=30, seed=3):
    rng = np.random.default_rng(seed)
    obs, action = rng.normal([0.3, -0.2], [1.2, 2.0], (rows, 2)), rng.uniform(-2, 1.5, (rows, 1))
    return obs, action, step_in_numpy(obs, action, LENGTH, DRAG) + NOISE * rng.normal(size=(rows, 2))


@pytest.fixture(scope="module")
def start():
    return jitted(learner().init, KEY, TASK)


@pytest.fixture(scope="module")
def fitted(start):
    state, report = FIT(learner(), start, dataset(*swings()))
    assert not report.diverged.any()
    return state


KINDS = {
    "free": (Parameter("p", -1.3, prior_std=0.7), 0.7),
    "positive": (Parameter("p", 1.3, low=0.0, prior_std=0.4), 0.4 * 1.3),
    "above a limit": (Parameter("p", -0.4, low=-1.0, prior_std=0.3), 0.3),
    "below a limit": (Parameter("p", -0.4, high=0.1, prior_std=0.3), 0.3),
    "between": (Parameter("p", 0.6, low=-1.0, high=0.9, prior_std=0.2), 0.2),
    "positive above a limit": (Parameter("p", 1.3, low=0.9, prior_std=0.4), 0.4 * 1.3),
    "positive and between": (Parameter("p", 1.3, low=0.0, high=1.9, prior_std=0.4), 0.4 * 1.3),
}


@eqx.filter_jit
def COORDINATES(parameters):  # noqa: N802
    """Values and slopes at the guess, values far around, and gradients."""
    far = jax.vmap(parameters.values)(jnp.linspace(-30.0, 30.0, 61)[:, None])
    gradients = jax.vmap(jax.grad(lambda p, z: p.values(z).sum()), (None, 0))(parameters, jnp.array([[-3.0], [2.0]]))
    return parameters.values(jnp.zeros(1)), parameters.slopes(jnp.zeros(1)), far, gradients


@pytest.mark.parametrize("kind", list(KINDS))
def test_coordinates_start_at_the_guess_with_the_priors_width_and_keep_the_limits(kind):
    parameter, slope = KINDS[kind]
    parameters = Parameters.of([parameter])
    values, slopes, far, gradients = COORDINATES(parameters)
    np.testing.assert_allclose(values, parameter.guess, rtol=1e-6)
    np.testing.assert_allclose(slopes, slope, rtol=1e-5)
    far = np.asarray(far)
    assert ((far >= np.float32(parameter.low)) & (far <= np.float32(parameter.high))).all()
    assert (np.diff(far[25:36, 0]) > 0).all()
    assert finite(gradients)


def test_coordinates_without_near_limits_are_gaussian_and_log_normal():
    parameters = Parameters.of(
        [
            Parameter("plain", -1.3, prior_std=0.7),
            Parameter("far limit", 5.0, low=-90.0, prior_std=0.5),
            Parameter("positive", 1.3, low=0.0, prior_std=0.4),
        ]
    )
    z = np.array([1.7, -2.1, -0.6])
    expected = [-1.3 + 0.7 * z[0], 5.0 + 0.5 * z[1], 1.3 * np.exp(0.4 * z[2])]
    np.testing.assert_allclose(jitted(parameters.values, jnp.asarray(z, jnp.float32)), expected, rtol=1e-5)


def test_wrong_guesses_are_wrong_in_turn():
    guess = Parameters.of(LENGTHS).wrong(1.25).guess
    np.testing.assert_allclose(guess, [1.1 * 1.25, 0.5 / 1.25], rtol=1e-6)
    with pytest.raises(InputError, match="guess of 'p' must lie strictly between"):
        Parameters.of([KINDS["between"][0]]).wrong(1.6)


def test_integration_agrees_with_an_adaptive_solver():
    obs, action = jnp.array([0.7, -1.9]), jnp.array([1.2])
    values = {"length": jnp.array(0.8), "drag": jnp.array(0.3)}

    def derivative(t, x):
        return [x[1], (1.2 - 0.3 * x[1]) / 0.64 - GRAVITY / 0.8 * np.sin(x[0])]

    exact = solve_ivp(derivative, (0.0, 0.2), [0.7, -1.9], rtol=1e-10, atol=1e-10).y[:, -1]
    errors = [np.abs(jitted(Acceleration(Swing(), n).step, obs, action, values, 0.2) - exact).max() for n in (1, 2, 8)]
    assert errors[0] > 10 * errors[1], "fourth order: half the step, a sixteenth of the error"
    assert errors[2] < 2e-6

    def whole(obs, action, parameters):
        return jnp.concatenate([obs[1:], Swing()(obs, action, parameters)])

    one, other = (
        jitted(law.step, obs, action, values, 0.2) for law in (Derivative(whole, 3), Acceleration(Swing(), 3))
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_array_equal(Map(whole).step(obs, action, values, 0.2), whole(obs, action, values))


def test_lbfgs_finds_the_bottom_of_a_bent_valley_and_counts_its_steps():
    run, traces = counted(
        lambda start, most: lbfgs(
            lambda p: (1.4 - p[0]) ** 2 + 50 * (p[1] - p[0] ** 2) ** 2, start, most, jnp.asarray(1e-4)
        )
    )
    end = run(jnp.array([-1.2, 1.0]), jnp.asarray(200))
    np.testing.assert_allclose(end.point, [1.4, 1.96], atol=1e-3)
    assert 5 < int(end.steps) < 200
    assert int(run(jnp.array([-1.2, 1.0]), jnp.asarray(4)).steps) == 4
    assert traces.count == 1
    assert not np.isfinite(run(jnp.array([jnp.nan, 1.0]), jnp.asarray(200)).value)


def test_the_gaussian_of_a_linear_model_is_exact_however_much_better_one_direction_is_known():
    """The data know direction 0 some 10^4 times better than the prior, and nothing of direction 2."""
    rng = np.random.default_rng(4)
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    design = (rng.normal(size=(9, 2)) * [2e4, 3.0]) @ basis[:, :2].T
    factor = np.asarray(
        jitted(lambda z: gaussian_at(lambda z: jnp.asarray(design, jnp.float32) @ z - 0.3, z), jnp.ones(3)), float
    )
    stds = np.sqrt(np.diag(basis.T @ factor @ factor.T @ basis))
    expected = np.sqrt(np.diag(basis.T @ np.linalg.inv(np.eye(3) + design.T @ design) @ basis))
    # The best direction's std is 1e-5 of the others', so rounding of those (6e-8) moves it by up to 1 %.
    np.testing.assert_allclose(stds, expected, rtol=0.02)


def test_the_gaussian_takes_the_bending_of_the_model_into_account():
    def whitened(z):
        return jnp.stack([2 * jnp.sin(z[0]) + z[1] - 0.5, z[0] * z[1] + 0.6, jnp.exp(0.5 * z[1]) - 1.5])

    point = jnp.array([0.4, -0.3])
    hessian = jax.jit(jax.hessian(lambda z: (whitened(z) @ whitened(z) + z @ z) / 2))(point)
    factor = np.asarray(jitted(lambda point: gaussian_at(whitened, point), point))
    np.testing.assert_allclose(factor @ factor.T, np.linalg.inv(hessian), rtol=1e-4)
    without = np.asarray(jax.jit(jax.jacfwd(whitened))(point))
    assert not np.allclose(np.linalg.inv(np.eye(2) + without.T @ without), np.linalg.inv(hessian), rtol=0.1)


def test_a_linear_model_has_the_closed_form_posterior():
    """next_obs = obs + p action + q [obs_1, -1], Gaussian priors, with the noise as fitted."""

    def law(obs, action, parameters):
        return obs + parameters["p"] * action + parameters["q"] * jnp.stack([obs[1], -1.0])

    rng = np.random.default_rng(8)
    task = task_of(lambda obs, action, next_obs: obs[0], 2, [-1.0, -1.0], [1.0, 2.0])
    obs, action = rng.normal(0.4, 1.1, (17, 2)), rng.uniform(-1, 1.5, (17, 2))
    along = np.stack([action, np.stack([obs[:, 1], -np.ones(17)], 1)], axis=2)  # [b o q]
    next_obs = obs + along @ [0.7, -0.3] + np.array([0.2, 0.6]) * rng.normal(size=(17, 2))
    guess, width = np.array([0.2, 0.1]), np.array([0.3, 0.2])
    linear = PhysicsLearner(
        Map(law), [Parameter(n, g, prior_std=w) for n, g, w in zip("pq", guess, width, strict=True)]
    )
    state, _ = FIT(linear, jitted(linear.init, KEY, task), dataset(obs, action, next_obs, 20, task))

    noise = np.asarray(state.noise, float)
    white = (along / noise[:, None]).reshape(-1, 2)
    cov = np.linalg.inv(np.diag(width**-2) + white.T @ white)
    mean = guess + cov @ white.T @ ((next_obs - obs - along @ guess) / noise).ravel()
    values = np.asarray(jitted(linear.parameters.values, state.centre))
    # The optimiser stops within a hundredth of a std.
    np.testing.assert_array_less(np.abs(values - mean), 0.02 * np.sqrt(np.diag(cov)))
    factor = np.diag(width) @ np.asarray(state.factor, float)
    np.testing.assert_allclose(factor @ factor.T, cov, rtol=1e-4)
    errors = next_obs - obs - along @ values
    scale = (next_obs - obs).std(0)
    np.testing.assert_allclose(noise**2, ((errors**2).sum(0) + (0.01 * scale) ** 2) / 18, rtol=1e-4)


def test_a_pendulums_posterior_agrees_with_a_grid(fitted):
    obs, action, next_obs = swings()
    scale = (next_obs - obs).std(0)
    parameters = Parameters.of(LENGTHS)
    factor = np.asarray(fitted.factor)
    found = np.sqrt(np.diag(factor @ factor.T))
    reach = 5 * found
    axes = [c + np.linspace(-r, r, 41) for c, r in zip(np.asarray(fitted.centre), reach, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    values = np.asarray(jitted(jax.vmap(parameters.values), jnp.asarray(grid, jnp.float32)), float)
    errors = np.stack([(step_in_numpy(obs, action, *v) - next_obs) / scale for v in values])
    log = -(grid**2).sum(1) / 2 - 31 / 2 * np.log((errors**2).sum(1) + 0.01**2).sum(1)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean = weight @ grid
    std = np.sqrt(weight @ (grid - mean) ** 2)
    np.testing.assert_allclose(found, std, rtol=0.1)  # the profiled noise has 30 rows: its tails are 3 % wider
    np.testing.assert_array_less(np.abs(fitted.centre - mean), 0.2 * std)
    correlation = weight @ np.prod((grid - mean) / std, axis=1)
    np.testing.assert_allclose(identified(learner().model(fitted)).correlations[0, 1], correlation, atol=0.1)
    np.testing.assert_array_less(
        np.abs(jitted(parameters.values, fitted.centre) - np.array([LENGTH, DRAG])), [0.03, 0.2]
    )


def test_the_belief_predicts_what_its_worlds_do(fitted):
    """Linearised variance against 4000 worlds: their std is known to 1.1 %, so 5 % is four of these and curvature."""
    belief, obs, action = learner().model(fitted), jnp.array([1.1, -0.7]), jnp.array([0.9])
    worlds = jitted(belief.worlds, jax.random.key(2), 4000)
    each = jitted(eqx.filter_vmap(lambda world: world.predict(obs, action)), worlds)
    each, prediction = jax.device_get((each, jitted(belief.predict, obs, action)))
    np.testing.assert_allclose(np.sqrt(prediction.epistemic), each.mean.std(0), rtol=0.05)
    np.testing.assert_allclose(prediction.mean, each.mean.mean(0), atol=4e-4)
    np.testing.assert_allclose(prediction.aleatoric, fitted.noise**2, rtol=1e-6)
    assert (each.epistemic == 0).all()
    samples = jitted(jax.vmap(belief.sample, (0, None, None)), jax.random.split(KEY, 4000), obs, action)
    np.testing.assert_allclose(np.std(samples, axis=0), np.sqrt(prediction.aleatoric + prediction.epistemic), rtol=0.05)
    assert belief.world_count is None
    assert jitted(eqx.filter_vmap(lambda world: world.values), worlds).shape == (4000, 2)


def test_a_belief_is_a_pytree_of_reals_and_its_calls_compile_once(fitted):
    belief, obs, action = learner().model(fitted), jnp.array([1.1, -0.7]), jnp.array([0.9])
    for model in (belief, at(jitted(belief.worlds, KEY, 3), 1)):
        assert all(eqx.is_inexact_array(leaf) and not leaf.weak_type for leaf in jax.tree.leaves(model))
        for call in (lambda m: m.predict(obs, action), lambda m: m.sample(KEY, obs, action)):
            compiled, traces = counted(call)
            before = compiled(model)
            close(before, call(model))
            assert differ(before, compiled(shaken(model)))
            assert traces.count == 1
        total = lambda m: sum(jnp.sum(x) for x in jax.tree.leaves(m.predict(obs, action)))
        gradient = eqx.filter_jit(eqx.filter_grad(total))(model)
        assert finite(gradient)


def test_more_data_and_other_settings_compile_nothing(start):
    compiled, traces = counted(lambda learner, state, data: learner.fit(KEY, state, data))
    first, _ = compiled(learner(), start, dataset(*swings(12)))
    again, report = compiled(learner(noise=0.05, steps=40), first, dataset(*swings(40)))
    other = [dataclasses.replace(LENGTHS[0], guess=0.6), dataclasses.replace(LENGTHS[1], low=0.1, prior_std=0.2)]
    third, _ = compiled(PhysicsLearner(Acceleration(Swing()), other), again, dataset(*swings(40)))
    assert traces.count == 1
    assert differ(first, again)
    assert differ(again.centre, third.centre)
    assert report.loss.shape == report.diverged.shape == report.validation_nll.shape == (1,)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((again, report)))


def test_no_rows_keep_the_prior(start):
    state, report = FIT(learner(), start, Dataset.empty(TASK, 48))
    same(state, start)
    assert not report.diverged.any()
    assert int(report.steps) == 0
    left = identified(learner().model(state)).left
    np.testing.assert_allclose(left, 1.0, rtol=1e-6)


def test_rows_that_are_not_finite_are_left_out(start, fitted):
    obs, action, next_obs = swings()
    bad = np.array([[np.nan, 0.4], [0.1, np.inf], [0.3, 0.2]])
    rows = [
        np.concatenate([obs, bad[:2], obs[:1]]),
        np.concatenate([action, action[:3]]),
        np.concatenate([next_obs, next_obs[:2], bad[:1]]),
    ]
    state, report = FIT(learner(), start, dataset(*rows))
    close(state, fitted, rtol=1e-3, atol=1e-4)
    assert not report.diverged.any()
    alone, _ = FIT(learner(), start, dataset(bad[:2], action[:2], next_obs[:2]))
    same(alone, start)


def test_repeated_rows_count_as_often_as_they_come(start):
    obs, action, next_obs = (x[:11] for x in swings())
    once, _ = FIT(learner(), start, dataset(obs, action, next_obs))
    often, report = FIT(learner(), start, dataset(*(np.tile(x, (4, 1)) for x in (obs, action, next_obs))))
    assert not report.diverged.any()
    one, many = np.asarray(once.factor), np.asarray(often.factor)
    ratio = np.sqrt(np.diag(one @ one.T) / np.diag(many @ many.T))
    # Twice, but for the prior, the row that stands for the guessed noise, and the noise, that is divided by N + 1.
    np.testing.assert_allclose(ratio, 2.0, rtol=0.1)


@pytest.mark.parametrize("rows", [1, 2])
def test_fewer_rows_than_parameters_and_constant_columns_leave_the_prior_where_it_was(start, rows):
    """At rest in the lowest point: no row says anything of the length, and drag only meets a speed of zero."""
    rest, push = np.zeros((rows, 2)), np.zeros((rows, 1))
    state, report = FIT(learner(), start, dataset(rest, push, rest))
    assert finite(state)
    assert not report.diverged.any()
    np.testing.assert_allclose(identified(learner().model(state)).left, 1.0, rtol=1e-5)
    np.testing.assert_allclose(state.centre, 0.0, atol=1e-4)


def test_outputs_of_wildly_different_scales_are_fitted_alike():
    """Pushes of 1e-4 and of 1e4 in different entries, with a gain each."""

    def law(obs, action, parameters):
        return obs + jnp.stack([parameters["small"] * action[0], parameters["large"] * action[0]])

    declared = [Parameter("small", 3e-4, low=0.0), Parameter("large", 2e4, low=0.0)]
    wide = PhysicsLearner(Map(law), declared)
    rng = np.random.default_rng(6)
    action = rng.uniform(-2, 1.5, (25, 1))
    next_obs = action * np.array([1e-4, 1e4]) + np.array([1e-6, 1e2]) * rng.normal(size=(25, 2))
    state, report = FIT(wide, jitted(wide.init, KEY, TASK), dataset(np.zeros((25, 2)), action, next_obs))
    assert not report.diverged.any()
    np.testing.assert_allclose(jitted(wide.parameters.values, state.centre), [1e-4, 1e4], rtol=0.01)


def test_a_fit_that_finds_nothing_finite_keeps_the_last_state(start, fitted):
    """Errors of 1e30 have squares beyond float32."""
    obs, action, next_obs = swings()
    next_obs[:, 1] = 1e30 * np.sign(next_obs[:, 1])
    lost = eqx.tree_at(lambda state: state.centre, fitted, jnp.array([200.0, -300.0]))
    for state in (start, lost):
        new, report = FIT(learner(), state, dataset(obs, action, next_obs))
        assert finite(new)
        if report.diverged.any():
            same(new, state)


def test_a_world_that_blows_up_costs_only_the_plans_that_meet_it():
    """The root of drag x push: no number for a negative push, wherever drag is positive."""

    def law(obs, action, parameters):
        return obs + jnp.stack([jnp.sqrt(parameters["drag"] * action[0]), action[0]])

    model = PhysicsLearner(Map(law), [Parameter("drag", 0.5, low=0.0)])
    problem = Problem(TASK, model.model(jitted(model.init, KEY, task_of(TASK.reward, 2, [0.5], [1.5]))), TSInf(5))
    plans = jnp.array([[0.3, 0.9], [0.3, -0.2], [-0.5, 0.1], [1.2, 0.4]])[:, :, None]
    returns = jitted(problem.evaluate, KEY, jnp.array([0.2, -0.4]), plans)
    np.testing.assert_array_equal(np.isneginf(returns), [False, True, True, False])
    assert np.isfinite(np.asarray(returns)[[0, 3]]).all()


def test_the_report_names_the_combination_that_data_cannot_tell():
    """Force gain over mass is all that a push shows; drag over mass is known too."""

    def law(obs, action, parameters):
        return (parameters["gain"] * action - parameters["drag"] * obs[1:]) / parameters["mass"]

    names = ("mass", "gain", "drag")
    declared = [Parameter(n, g, low=0.0, prior_std=0.3) for n, g in zip(names, (2.0, 3.0, 0.7), strict=True)]
    pushed = PhysicsLearner(Acceleration(law), declared)
    rng = np.random.default_rng(9)
    obs, action = rng.normal(0.3, 1.0, (40, 2)), rng.uniform(-2, 1.5, (40, 1))
    true = Acceleration(law)
    values = {"mass": jnp.array(1.5), "gain": jnp.array(4.0), "drag": jnp.array(0.5)}
    next_obs = jitted(jax.vmap(lambda o, a: true.step(o, a, values, TASK.dt)), jnp.asarray(obs), jnp.asarray(action))
    state, _ = FIT(pushed, jitted(pushed.init, KEY, TASK), dataset(obs, action, next_obs))
    report = identified(pushed.model(state))
    np.testing.assert_allclose(report.worst, np.full(3, 3**-0.5), atol=1e-3)
    np.testing.assert_allclose(report.worst_left, 1.0, rtol=1e-3)
    np.testing.assert_allclose(report.left, 1 / 3, rtol=0.01)
    np.testing.assert_allclose(report.values[1:] / report.values[0], [4.0 / 1.5, 0.5 / 1.5], rtol=2e-3)
    np.testing.assert_allclose(report.prior_stds, 0.3 * np.array([2.0, 3.0, 0.7]), rtol=1e-5)
    np.testing.assert_allclose(report.stds, 0.3 * report.values * np.sqrt(report.left), rtol=1e-4)
    assert report.correlations[0, 1] > 0.99
    table = report.table()
    assert all(name in table for name in names)
    assert "least known: " in table
    assert "100.0% of the prior's variance left" in table


def trial(env, capacity):
    """One trial of uniformly random actions."""
    transitions = jitted(lambda key: episode(key, env, UniformPolicy.of(env.task)).transitions, jax.random.key(3))
    return transitions, Dataset.empty(env.task, capacity).add(transitions, 0)


@pytest.mark.parametrize("make", [CartPoleSwingUp, Pendulum, PointMass])
def test_one_random_trial_tells_a_tasks_parameters(make):
    """Guesses 30 % off; every parameter that the data identify comes back."""
    env = make()
    physics = physics_of(env, guess_error=1.3)
    transitions, data = trial(env, 200)
    before = physics.model(jitted(physics.init, KEY, env.task))
    state, report = FIT(physics, jitted(physics.init, KEY, env.task), data)
    belief = physics.model(state)

    @eqx.filter_jit
    def error(model):
        means = jax.vmap(lambda obs, action: model.predict(obs, action).mean)(transitions.obs, transitions.action)
        return jnp.abs(means - transitions.next_obs).max()

    assert not report.diverged.any()
    assert error(before) > 1e-2
    assert error(belief) < 1e-3
    reported = identified(belief)
    assert (reported.left < 0.01).all()
    np.testing.assert_allclose(reported.values, physics_of(env).parameters.guess, rtol=0.02)


def test_a_tasks_physics_is_its_environment():
    """With the true parameters, one step of each is the environment's own."""
    for make in (CartPoleSwingUp, Pendulum, PointMass):
        env = make()
        physics = physics_of(env)
        transitions, _ = trial(env, 200)
        belief = physics.model(jitted(physics.init, KEY, env.task))
        means = lambda belief, *rows: jax.vmap(belief.at(jnp.zeros_like(belief.centre)).mean)(*rows)
        mean = jitted(means, belief, transitions.obs, transitions.action)
        np.testing.assert_allclose(mean, transitions.next_obs, rtol=1e-5, atol=1e-5)


physics = learner()  # as a user's file declares it


class Declared(eqx.Module):
    """Stands for an environment of this file."""

    task: Task = TASK


def test_physics_is_picked_up_beside_an_environment(monkeypatch):
    assert physics_of(Declared()) is physics
    monkeypatch.delitem(globals(), "physics")
    with pytest.raises(InputError, match="no physics for Declared"):
        physics_of(Declared())


BAD_PARAMETERS = {
    "guess outside": (
        lambda: Parameter("m", 3.0, low=0.0, high=2.0),
        "guess of 'm' must lie strictly between 0.0 and 2.0",
    ),
    "guess on a limit": (lambda: Parameter("m", 0.0, low=0.0), "strictly between"),
    "low above high": (lambda: Parameter("m", 1.0, low=2.0, high=0.5), "low below high"),
    "no width": (lambda: Parameter("m", 1.0, prior_std=0.0), "prior_std above zero"),
    "negative width": (lambda: Parameter("m", 1.0, prior_std=-0.2), "prior_std above zero"),
    "not a number": (lambda: Parameter("m", math.nan), "guess of 'm'"),
    "twice": (lambda: Parameters.of([Parameter("m", 1.0), Parameter("m", 2.0)]), "distinct names"),
    "none": (lambda: Parameters.of([]), "at least one parameter"),
    "no substeps": (lambda: Derivative(Swing(), 0), "substeps must be at least 1, got 0"),
    "no noise": (lambda: learner(noise=0.0), "noise must be finite and above 0"),
}


@pytest.mark.parametrize("case", list(BAD_PARAMETERS))
def test_bad_declarations_are_told(case):
    make, sentence = BAD_PARAMETERS[case]
    with pytest.raises(InputError, match=sentence):
        make()


BAD_LAWS = {
    "wrong shape": (Acceleration(lambda o, a, p: o * p["m"]), 2, r"must return the shape \(1,\)"),
    "a scalar": (Derivative(lambda o, a, p: o[0] * p["m"]), 2, r"got \(\)"),
    "not finite": (Map(lambda o, a, p: o * jnp.sqrt(-p["m"])), 2, r"finite at the guess \(m=1\.5\)"),
    "unknown name": (
        Map(lambda o, a, p: o * p["mas"]),
        2,
        r"reads the parameter 'mas', and the parameters are \('m',\)",
    ),
    "odd positions": (Acceleration(lambda o, a, p: o * p["m"]), 3, "as many positions as velocities"),
}


@pytest.mark.parametrize("case", list(BAD_LAWS))
def test_bad_physics_is_told_before_any_data(case):
    law, size, sentence = BAD_LAWS[case]
    task = task_of(lambda obs, action, next_obs: obs[0], size, [-1.0], [1.5])
    with pytest.raises(InputError, match=sentence):
        PhysicsLearner(law, [Parameter("m", 1.5)]).init(KEY, task)
