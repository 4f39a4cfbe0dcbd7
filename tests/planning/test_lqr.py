"""The Riccati recursion against dense least squares over the whole action sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from handful.planning.lqr import riccati


def regulator(seed):
    """An unstable system of 5 states and 2 actions with dense costs."""
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(5, 5)) * 0.6, rng.normal(size=(5, 2))
    roots = [rng.normal(size=(size, size)) for size in (5, 2, 5)]
    Q, R, final = (root @ root.T + 0.1 * np.eye(len(root)) for root in roots)
    return A, B, Q, R, final


def dense(system, start, horizon):
    """All actions at once: minimise |G u + g|^2 where G stacks the weighted states and actions of every time."""
    A, B, Q, R, final = system
    state, control = np.zeros((5, 2 * horizon)), start
    rows, offsets = [], []
    for t in range(horizon):
        pick = np.eye(2, 2 * horizon, 2 * t)
        rows += [np.linalg.cholesky(Q).T @ state, np.linalg.cholesky(R).T @ pick]
        offsets += [np.linalg.cholesky(Q).T @ control, np.zeros(2)]
        state, control = A @ state + B @ pick, A @ control
    rows.append(np.linalg.cholesky(final).T @ state)
    offsets.append(np.linalg.cholesky(final).T @ control)
    actions, (cost,), *_ = np.linalg.lstsq(np.concatenate(rows), -np.concatenate(offsets))
    return actions.reshape(horizon, 2), cost


def test_gains_and_values_are_the_dense_optimum():
    A, B, Q, R, final = regulator(seed=41)
    horizon, start = 7, np.array([0.8, -1.4, 0.3, 2.1, -0.6])
    with jax.enable_x64(True):
        gains, values = riccati(*map(jnp.asarray, (A, B, Q, R, final)), horizon=horizon)
    gains, values = np.asarray(gains), np.asarray(values)
    assert gains.shape == (7, 2, 5)
    assert values.shape == (8, 5, 5)
    state, actions = start, []
    for gain in gains:
        actions.append(-gain @ state)
        state = A @ state + B @ actions[-1]
    expected, cost = dense((A, B, Q, R, final), start, horizon)
    np.testing.assert_allclose(actions, expected, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(start @ values[0] @ start, cost, rtol=1e-10)
    np.testing.assert_array_equal(values[-1], final)


def test_every_value_matrix_is_the_optimum_of_what_is_left():
    A, B, Q, R, final = regulator(seed=42)
    later = np.array([1.2, 0.4, -0.9, 0.7, 1.5])
    with jax.enable_x64(True):
        _, values = riccati(*map(jnp.asarray, (A, B, Q, R, final)), horizon=6)
    for t in range(5):
        _, cost = dense((A, B, Q, R, final), later, 6 - t)
        np.testing.assert_allclose(later @ np.asarray(values)[t] @ later, cost, rtol=1e-10)


def test_a_long_horizon_tends_to_the_algebraic_equation():
    A, B, Q, R, final = regulator(seed=43)
    with jax.enable_x64(True):
        _, values = riccati(*map(jnp.asarray, (A, B, Q, R, final)), horizon=400)
    np.testing.assert_allclose(values[0], scipy.linalg.solve_discrete_are(A, B, Q, R), rtol=1e-8)


def test_new_costs_do_not_retrace():
    traces = []

    @jax.jit
    def gains(*matrices):
        traces.append(1)
        return riccati(*matrices, horizon=5)[0]

    first = gains(*map(jnp.asarray, regulator(seed=44)))
    second = gains(*map(jnp.asarray, regulator(seed=45)))
    assert len(traces) == 1
    assert np.abs(first - second).max() > 0.01
