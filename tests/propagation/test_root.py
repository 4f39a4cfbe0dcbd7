"""The std of a variance: its value, and its derivative where the square root has none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.models.base import root
from handful.policies.simple import OpenLoop
from handful.propagation.risk import MeanStd


def test_it_is_the_square_root_with_a_flat_zero():
    variances = jnp.array([0.0, 1e-30, 0.09, 4.0, jnp.inf, jnp.nan])
    np.testing.assert_allclose(root(variances), np.sqrt(variances), rtol=1e-6)
    slopes = jax.vmap(jax.grad(root))(variances)
    np.testing.assert_allclose(slopes[:4], [0.0, 0.5e15, 0.5 / 0.3, 0.25], rtol=1e-5)


@pytest.mark.parametrize("name", ["DistributionSampling", "MomentMatching"])
def test_plans_are_differentiated_through_a_belief_without_doubt(name):
    def end(plan):
        rollout = zoo.PROPAGATORS[name]()(jax.random.key(2), zoo.known(), OpenLoop(plan), zoo.OBS, zoo.HORIZON)
        return rollout.obs[:, -1].mean(0) @ jnp.array([1.0, -2.0, 3.0])

    function = zoo.known().function
    expected = function.B.T @ jnp.array([1.0, -2.0, 3.0])  # of the last action; all particles move as one
    np.testing.assert_allclose(jax.grad(end)(zoo.PLAN)[-1], expected, rtol=1e-5)


def test_equal_returns_have_a_gradient():
    np.testing.assert_allclose(jax.grad(MeanStd(-0.7))(jnp.full(5, 1.3)), np.full(5, 0.2), rtol=1e-6)
