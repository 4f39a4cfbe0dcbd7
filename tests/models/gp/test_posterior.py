"""The posterior against tinygp, and rows appended against a refactoring."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.models.gp.kernels import SquaredExponential
from handful.models.gp.posterior import Posterior
from models.gp.processes import GIVEN, covariance_of, one, rows_of, tinygp_of
from probes import counted, same

QUERIES = np.random.default_rng(8).normal(0.1, 1.4, (9, 3))
AT = jax.jit(lambda posterior, queries: jax.vmap(posterior.mean_and_variance)(queries))
APPEND_ALL = jax.jit(lambda posterior, inputs, targets: posterior.append_all(inputs, targets))


@functools.partial(jax.jit, static_argnums=1)
def theirs(covariance, index, inputs, targets):
    process = tinygp_of(covariance, index, inputs)
    _, conditioned = process.condition(targets[:, index], jnp.asarray(QUERIES), diag=jnp.zeros(9))
    return conditioned.mean, conditioned.variance


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_against_tinygp(kernel, dtype):
    """With rows of padding in between. Their answer is float64's."""
    with jax.enable_x64(True):
        covariance, (inputs, targets) = covariance_of(kernel, dtype), rows_of(37, dtype)
        mask = jnp.asarray(~np.isin(np.arange(37), [0, 11, 36]), dtype)
        posterior = GIVEN(covariance, inputs, targets, mask)
        assert posterior.weights.dtype == dtype
        mean, variance = AT(posterior, jnp.asarray(QUERIES, dtype))
        alone = jax.jit(lambda posterior, queries: jax.vmap(posterior.mean)(queries))(
            posterior, jnp.asarray(QUERIES, dtype)
        )
        kept = np.flatnonzero(mask)
        exact = jax.tree.map(
            lambda leaf: jnp.asarray(np.asarray(leaf, float)),
            (covariance, np.asarray(inputs)[kept], np.asarray(targets)[kept]),
        )
        # condition numbers are below 1e3: float32 keeps four digits of six
        tolerance = 1e-9 if dtype == jnp.float64 else 2e-4
        for index in range(2):
            # the guards of float32 are part of what is asked of the other library
            expected = theirs(covariance, index, *exact[1:])
            for ours, value in zip((mean, variance), expected, strict=True):
                np.testing.assert_allclose(np.asarray(ours)[:, index], value, atol=tolerance)
        np.testing.assert_allclose(alone, mean, atol=tolerance)


def test_padded_equals_unpadded():
    covariance, (inputs, targets) = covariance_of(SquaredExponential, jnp.float32), rows_of(37, jnp.float32)
    bare = GIVEN(covariance, inputs, targets, jnp.ones(37))
    padded = bare.grown(50)
    wide = GIVEN(
        covariance,
        jnp.asarray(np.pad(inputs, ((0, 13), (0, 0)), constant_values=7.0)),
        jnp.asarray(np.pad(targets, ((0, 13), (0, 0)))),
        padded.mask,
    )
    queries = jnp.asarray(QUERIES, jnp.float32)
    for other in (padded, wide):
        assert other.capacity == 50
        assert other.count == 37
        for left, right in zip(AT(other, queries), AT(bare, queries), strict=True):
            np.testing.assert_allclose(left, right, atol=1e-4)  # float32, condition below 1e3


def test_a_hundred_appended_rows_change_nothing_that_a_refactoring_would_not(kernel):
    """At a noise of a tenth of the signal float32 keeps the mean to 1e-3 of its std of 1, and variances to 1 %."""
    covariance, (inputs, targets) = covariance_of(kernel, jnp.float32), rows_of(130, jnp.float32)
    at = lambda posterior: AT(posterior, jnp.asarray(QUERIES, jnp.float32))
    start = GIVEN(covariance, inputs, targets, jnp.ones(130).at[30:].set(0.0))
    grown = APPEND_ALL(start, inputs[30:], targets[30:])
    whole = GIVEN(covariance, inputs, targets, jnp.ones(130))
    same((grown.inputs, grown.mask), (whole.inputs, whole.mask))
    np.testing.assert_allclose(at(grown)[0], at(whole)[0], atol=1e-3)
    np.testing.assert_allclose(at(grown)[1], at(whole)[1], rtol=1e-2)
    np.testing.assert_allclose(grown.inverse_cholesky, whole.inverse_cholesky, atol=1e-2)
    assert np.abs(at(start)[0] - at(whole)[0]).max() > 0.1, "the rows matter"


def test_rows_appended_one_by_one_from_nothing():
    """The first row against the formula by hand; the capacity is the end; what is not finite changes nothing."""
    covariance, (inputs, targets) = covariance_of(SquaredExponential, jnp.float32), rows_of(4, jnp.float32)
    append = jax.jit(lambda posterior, x, y: posterior.append(x, y))
    posterior = append(Posterior.empty(covariance, 3), inputs[0], targets[0])
    for index in range(2):
        c = one(covariance, index)
        total = c.kernel.variance + c.diagonal
        np.testing.assert_allclose(posterior.weights[index], [targets[0, index] / total, 0, 0], rtol=1e-5)
        np.testing.assert_allclose(posterior.inverse_cholesky[index, 0], [total**-0.5, 0, 0], rtol=1e-5)
    for x, y in ((inputs[1].at[2].set(jnp.nan), targets[1]), (inputs[1], targets[1].at[0].set(jnp.inf))):
        same(append(posterior, x, y), posterior)
    full = APPEND_ALL(posterior, inputs[1:3], targets[1:3])
    assert full.count == 3
    same(append(full, inputs[3], targets[3]), full)


def test_one_compile_whatever_the_rows():
    compiled, traces = counted(lambda posterior, x, y: posterior.append(x, y))
    posterior = Posterior.empty(covariance_of(SquaredExponential, jnp.float32), 8)
    for x, y in zip(*rows_of(5, jnp.float32), strict=True):
        posterior = compiled(posterior, x, y)
    assert traces.count == 1


def test_without_rows_it_is_the_prior():
    posterior = Posterior.empty(covariance_of(SquaredExponential, jnp.float32), 6)
    mean, variance = posterior.mean_and_variance(jnp.array([0.3, -2.0, 1.0]))
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_allclose(variance, [1.3**2, 0.6**2], rtol=1e-5)


def test_a_matrix_that_cannot_be_factored_is_told():
    covariance, (inputs, targets) = covariance_of(SquaredExponential, jnp.float32), rows_of(5, jnp.float32)
    assert GIVEN(covariance, inputs, targets, jnp.ones(5)).finite().tolist() == [True, True]
    broken = eqx.tree_at(lambda c: c.log_noise, covariance, covariance.log_noise.at[1].set(jnp.nan))
    assert GIVEN(broken, inputs, targets, jnp.ones(5)).finite().tolist() == [True, False]
