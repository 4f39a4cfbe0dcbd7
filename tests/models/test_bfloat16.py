"""Beliefs that multiply in bfloat16, for plans."""

import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from handful.models import bfloat16 as module
from handful.models.bfloat16 import in_bfloat16
from handful.models.fused import FusedNet
from handful.models.known import KnownDynamics
from handful.models.networks import GaussianNet
from handful.models.recalibrated import Recalibrated


def test_coarse_products_round_to_eight_bits_and_add_up_in_full():
    """The same net in float64 whose products meet inputs and weights rounded to bfloat16."""
    net = in_bfloat16(GaussianNet.init(jax.random.key(4), (5, 11, 3), (-10.0, 0.5)))
    rows = np.random.default_rng(7).normal(size=(6, 5)).astype(np.float32)
    rounded = lambda x: np.asarray(jnp.asarray(x, jnp.bfloat16), float)
    hidden = rounded(rows) @ rounded(net.weights[0])
    hidden = rounded((hidden / (1 + np.exp(-hidden))).astype(np.float32))
    mean, _ = jax.jit(jax.vmap(net))(rows)
    # An entry of the hidden layer that lies between two bfloat16 may round either way, by 2^-8 of itself.
    np.testing.assert_allclose(mean, (hidden @ rounded(net.weights[1]))[:, :3], atol=2.0**-8)
    assert mean.dtype == jnp.float32


def test_coarse_products_leave_what_plans_are_worth():
    """Eight bits a product: a plan's return moves by some thousandths of what returns differ by, its rank hardly."""
    ensemble = zoo.ensemble()
    rounded = in_bfloat16(ensemble)
    low, high = zoo.problem().task.low, zoo.problem().task.high
    plans = jnp.asarray(np.random.default_rng(5).uniform(low, high, (40, 6, low.size)), jnp.float32)
    obs = jnp.array([0.3, -0.6, 0.2])
    evaluate = eqx.filter_jit(lambda problem: problem.evaluate(jax.random.key(2), obs, plans))
    full, less = (np.asarray(evaluate(zoo.problem(model=belief))) for belief in (ensemble, rounded))
    assert 0 < np.abs(full - less).max() < 0.05 * full.std()
    assert set(np.argsort(full)[-3:]) <= set(np.argsort(less)[-6:])


@pytest.mark.parametrize(
    ("kind", "capability", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "9.0", True),
        ("NVIDIA A100-SXM4-80GB", "8.0", True),
        ("Tesla V100-SXM2-16GB", "7.0", False),
        ("NVIDIA TITAN V", "7.0", False),
        ("AMD Instinct MI250X", "gfx90a", False),
        ("cpu", None, False),
    ],
)
def test_kernels_are_for_cards_that_multiply_in_bfloat16(monkeypatch, kind, capability, expected):
    card = {"device_kind": kind} | ({} if capability is None else {"compute_capability": capability})
    monkeypatch.setattr(jax, "devices", lambda: [types.SimpleNamespace(**card)])
    assert module.has_matrix_units() is expected


def test_on_such_a_card_narrow_nets_become_kernels(monkeypatch):
    monkeypatch.setattr(module, "has_matrix_units", lambda: True)
    wide = GaussianNet.init(jax.random.key(4), (5, 500, 3), (-10.0, 0.5))
    assert isinstance(in_bfloat16(zoo.ensemble()).members.net, FusedNet)
    assert isinstance(in_bfloat16(wide), GaussianNet)
    assert in_bfloat16(wide).weights[0].dtype == jnp.bfloat16


def test_the_nets_of_any_belief_become_coarse_and_nothing_else():
    """Here one inside a belief that stretches another; a belief without nets stays what it is."""
    belief = Recalibrated(zoo.ensemble(), 1.5)
    less = in_bfloat16(belief)
    assert {weight.dtype for weight in less.belief.members.net.weights} == {jnp.dtype(jnp.bfloat16)}
    rest = lambda belief: (belief.factor, belief.belief.members.net.biases, belief.belief.members.input_scale)
    assert eqx.tree_equal(rest(less), rest(belief))
    known = KnownDynamics(lambda obs, action: obs + action)
    assert eqx.tree_equal(in_bfloat16(known), known)
