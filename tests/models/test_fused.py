"""The kernel that takes a net's whole forward pass: interpreted here, against the layers one by one."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

import zoo
from handful.models.bfloat16 import in_bfloat16
from handful.models.fused import MOST_UNITS, FusedNet
from handful.models.networks import GaussianNet
from handful.propagation.trajectory_sampling import TSInf

BOUNDS = (-10.0, 0.5)


@eqx.filter_jit
def nets(sizes, *, constant_noise=False):
    """Three nets with biases that are not zero."""
    keys = jax.random.split(jax.random.key(1), 3)
    stacked = eqx.filter_vmap(lambda key: GaussianNet.init(key, sizes, BOUNDS, constant_noise=constant_noise))(keys)
    biases = tuple(
        jax.random.normal(jax.random.key(index), bias.shape) for index, bias in enumerate(stacked.biases, start=2)
    )
    return eqx.tree_at(lambda net: net.biases, stacked, biases)


@eqx.filter_jit
def one_of(nets, index):
    return jax.tree.map(lambda leaf: leaf[index], nets)


@eqx.filter_jit
def fused_and_plain(nets, x, call=lambda net, x: net(x)):
    return call(FusedNet.of(nets), x), call(in_bfloat16(nets), x)


def near(reported, wanted):
    """Sums in another order, and an activation between two bfloat16 may round either way."""
    for one, other in zip(reported, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=0.02, rtol=0.02)
        assert np.sqrt(np.mean((np.asarray(one) - np.asarray(other)) ** 2)) < 2e-3


@pytest.mark.parametrize("sizes", [(5, 40, 3), (17, 24, 136, 200, 18), (3, 16, 16, 1)])
def test_one_input_through_one_net(sizes):
    x = jax.random.normal(jax.random.key(9), sizes[:1])
    near(*fused_and_plain(one_of(nets(sizes), 1), x))


def test_the_variance_of_a_net_with_constant_noise():
    x = jnp.array([0.1, -2.0, 0.7, 1.0])
    near(*fused_and_plain(one_of(nets((4, 16, 2), constant_noise=True), 0), x))


def test_one_kernel_takes_every_vmap():
    """Plans x nets x particles, and inputs that only nets or only particles differ in; rows do not fill blocks."""
    stacked = nets((5, 24, 40, 3))

    def called(net, x, *, plans, particles):
        call = lambda net, x: net(x)
        if particles:
            call = jax.vmap(call, in_axes=(None, 0))
        call = eqx.filter_vmap(call)
        return (jax.vmap(call, in_axes=(None, 0)) if plans else call)(net, x)

    for plans in (False, True):
        for particles in (False, True):
            sizes = {"plans": plans, "particles": particles}
            call = functools.partial(called, **sizes)
            x = jax.random.normal(jax.random.key(5), (*(7,) * plans, 3, *(11,) * particles, 5))
            assert str(jax.make_jaxpr(call)(FusedNet.of(stacked), x)).count("pallas_call") == 1
            near(*fused_and_plain(stacked, x, call))


def test_nets_of_several_seeds_meet_their_own_inputs_and_shared_ones():
    """Nets under two vmaps, as when seeds run side by side; and inputs that all nets share."""
    several = jax.tree.map(lambda leaf: np.stack([leaf, leaf[::-1]]), jax.device_get(nets((5, 24, 3))))
    several = jax.device_put(several)
    own = jax.random.normal(jax.random.key(5), (2, 3, 5))
    shared = own[0, 0]
    twice = lambda axis: eqx.filter_vmap(eqx.filter_vmap(lambda net, x: net(x), in_axes=axis), in_axes=axis)
    near(*fused_and_plain(several, own, twice((0, 0))))
    near(*fused_and_plain(several, shared, twice((0, None))))


def test_plans_are_worth_the_same():
    """An ensemble of fused nets in a planner's place for it: returns as those of in_bfloat16 nets."""
    ensemble = zoo.ensemble()
    fused = eqx.tree_at(lambda belief: belief.members.net, ensemble, FusedNet.of(ensemble.members.net))
    low, high = zoo.problem().task.low, zoo.problem().task.high
    plans = jnp.asarray(np.random.default_rng(5).uniform(low, high, (12, 3, low.size)), jnp.float32)
    evaluate = eqx.filter_jit(lambda p: p.evaluate(jax.random.key(2), jnp.array([0.3, -0.6, 0.2]), plans))
    wide, less = (
        np.asarray(evaluate(dataclasses.replace(zoo.problem(model=belief), propagator=TSInf(2 * belief.world_count))))
        for belief in (fused, in_bfloat16(ensemble))
    )
    assert np.abs(wide - less).max() < 0.02 * less.std()


def test_what_is_not_finite_stays_so():
    (mean, _), _ = fused_and_plain(one_of(nets((5, 24, 3)), 0), jnp.array([0.0, jnp.nan, 0.0, 1.0, 2.0]))
    assert not np.isfinite(mean).any()


def test_wide_nets_are_left_to_the_compiler():
    assert FusedNet.takes(nets((5, MOST_UNITS, 3)))
    assert not FusedNet.takes(nets((5, MOST_UNITS + 1, 3)))


def test_the_kernel_is_one_that_a_gpu_takes(monkeypatch):
    """Lowered for CUDA, which refuses shapes and operations that a kernel cannot have."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    card = AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    many = FusedNet.of(nets((23, 200, 200, 18)))
    call = jax.jit(lambda x: eqx.filter_vmap(lambda net, x: jax.vmap(net)(x))(many, x))
    with jax.sharding.use_abstract_mesh(AbstractMesh((1,), ("devices",), abstract_device=card)):
        lowered = call.trace(jax.ShapeDtypeStruct((3, 70, 23), jnp.float32)).lower(lowering_platforms=("cuda",))
    assert "triton" in lowered.as_text()
