"""Risk measures against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handful.propagation.risk import CVaR, Mean, MeanStd

returns_of = arrays(np.float32, 13, elements=st.floats(-100, 100, width=32))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(returns_of, st.floats(-3, 3, width=32))
def test_mean_and_std(returns, weight):
    """Tolerances: sums of 13 numbers below 100 in float32; the root of a vanishing variance keeps half the digits."""
    wide = returns.astype(float)
    np.testing.assert_allclose(Mean()(jnp.asarray(returns)), wide.mean(), atol=1e-4)
    expected = wide.mean() + weight * wide.std()
    np.testing.assert_allclose(MeanStd(weight)(jnp.asarray(returns)), expected, atol=1e-3)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(returns_of, st.integers(1, 13))
def test_cvar_is_the_mean_of_the_worst(returns, worst):
    expected = np.sort(returns.astype(float))[:worst].mean()
    np.testing.assert_allclose(CVaR(worst / 13)(jnp.asarray(returns)), expected, atol=1e-4)


@pytest.mark.parametrize("particles", [5, 13, 20, 49])
def test_the_tail_is_rounded_up_but_never_for_rounding(particles):
    """Fractions that float32 does not hold, such as 7/13, name as many particles as they say."""
    returns = jnp.arange(float(particles)) ** 2
    for worst in range(1, particles + 1):
        exact = np.mean(np.arange(worst, dtype=float) ** 2)
        np.testing.assert_allclose(CVaR(worst / particles)(returns), exact, rtol=1e-5)
    np.testing.assert_allclose(CVaR(1.2 / particles)(returns), 0.5)
    np.testing.assert_allclose(CVaR(0.0)(returns), 0.0)


def test_defaults():
    returns = jnp.array([3.1, -2.0, 0.7, 5.5, -0.4, 1.9, 0.3])
    wide = np.asarray(returns, float)
    np.testing.assert_allclose(MeanStd()(returns), wide.mean() - wide.std(), rtol=1e-5)
    np.testing.assert_allclose(CVaR()(returns), (-2.0 - 0.4) / 2, rtol=1e-5)
