"""Standardisation against NumPy in double precision."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handful.data.scaling import Standardiser, scale_of

RNG = np.random.default_rng(5)
# Columns of different kinds: usual, large offset with little spread, small numbers, skewed.
VALUES = np.stack(
    [RNG.normal(2, 3, 37), RNG.normal(500, 0.5, 37), RNG.normal(0, 1e-3, 37), RNG.exponential(4, 37)], axis=1
)
MASK = RNG.random(37) < 0.6


def test_statistics_are_those_of_the_masked_rows():
    poisoned = np.where(MASK[:, None], VALUES, np.nan)  # padding may hold anything
    scale = Standardiser.fit(jnp.asarray(poisoned, jnp.float32), jnp.asarray(MASK))
    # 500 in float32 is known to 3e-5, which is 6e-5 of that column's std.
    np.testing.assert_allclose(scale.mean, VALUES[MASK].mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scale.std, VALUES[MASK].std(0), rtol=1e-4)
    standard = scale(jnp.asarray(VALUES[MASK], jnp.float32))
    np.testing.assert_allclose(standard, (VALUES[MASK] - VALUES[MASK].mean(0)) / VALUES[MASK].std(0), atol=3e-4)
    np.testing.assert_allclose(scale.inverse(standard), VALUES[MASK], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 0.1, -17.3, 1234.567, 3e5])
@pytest.mark.parametrize("rows", [1, 3, 1000, 20000])
def test_a_constant_column_is_never_divided_by_its_spread(offset, rows):
    """Float32 sums leave a constant column with a mean that is off and a std that is not zero."""
    values = np.stack([np.full(rows, offset), np.linspace(-1, 3, rows)], axis=1)
    scale = Standardiser.fit(jnp.asarray(values, jnp.float32), jnp.ones(rows, bool))
    assert scale.std[0] == 1
    np.testing.assert_allclose(scale(jnp.array([offset, 1.0]))[0], 0, atol=1e-6 * max(1, abs(offset)))
    # A step of 0.5 away from the constant stays one of 0.5. Float32 at the offset knows it to 0.02 at worst.
    np.testing.assert_allclose(scale(jnp.array([offset + 0.5, 1.0]))[0], 0.5, atol=1e-6 * max(1, abs(offset)))


@pytest.mark.parametrize("start", [0.0, 40.0, 5e4])
def test_the_steps_of_a_clock_are_constant_however_late_it_is(start):
    clock = np.float32(start + 0.05 * np.arange(300))
    steps, size = np.diff(clock)[:, None], np.abs(clock).max(keepdims=True)
    assert steps.std() > 0  # what rounding leaves
    assert scale_of(jnp.asarray(steps.std(0)), jnp.asarray(size))[0] == 1
    scale = Standardiser.fit(jnp.asarray(steps), jnp.arange(299) < 250, jnp.asarray(size))
    assert scale.std[0] == 1
    assert scale_of(jnp.array([2e-4]), jnp.array([100.0]))[0] == np.float32(2e-4)  # more than rounding


def test_no_rows_at_all_is_the_identity():
    scale = Standardiser.fit(jnp.full((4, 2), jnp.nan), jnp.zeros(4, bool))
    np.testing.assert_array_equal(scale.mean, 0)
    np.testing.assert_array_equal(scale.std, 1)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(arrays(np.float32, (6, 2), elements=st.floats(-1e4, 1e4, width=32)))
def test_inverse_undoes_it(values):
    scale = Standardiser.fit(jnp.asarray(values), jnp.ones(6, bool))
    back = np.asarray(scale.inverse(scale(jnp.asarray(values))))
    # Each of four operations rounds by 6e-8 of the largest number it meets.
    np.testing.assert_allclose(back, values, atol=3e-7 * np.abs(values).max() + 1e-30)
    assert np.isfinite(np.asarray(scale(jnp.asarray(values)))).all()
