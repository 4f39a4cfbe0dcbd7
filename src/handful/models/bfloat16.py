"""Beliefs with nets in bfloat16, for planning."""

from typing import TYPE_CHECKING, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from handful.models.networks import GaussianNet

if TYPE_CHECKING:
    from handful.models.fused import FusedNet

Belief = TypeVar("Belief", bound=eqx.Module)

AMPERE = 8  # compute capability


def in_bfloat16(belief: Belief) -> Belief:
    """The same belief with the weights of its nets in bfloat16, which has three digits: enough to rank plans.

    Products are summed in float32. On NVIDIA GPUs from Ampere on, nets of up to 256 units per layer become one kernel
    each (`FusedNet`), which has no derivatives. Fits and scores need the full weights.

    >>> from handful.models.networks import GaussianNet
    >>> net = in_bfloat16(GaussianNet.init(jax.random.key(0), (3, 8, 2), (-10.0, 0.5)))
    >>> net(jnp.ones(3))[0].dtype.name
    'float32'
    """
    is_net = lambda node: isinstance(node, GaussianNet)
    return jax.tree.map(lambda node: _in_bfloat16(node) if is_net(node) else node, belief, is_leaf=is_net)


def _in_bfloat16(net: GaussianNet) -> "GaussianNet | FusedNet":
    if has_matrix_units():
        # The kernel language is installed with JAX for GPUs, and not always without one.
        from handful.models.fused import FusedNet  # noqa: PLC0415

        if FusedNet.takes(net):
            return FusedNet.of(net)
    return eqx.tree_at(lambda net: net.weights, net, tuple(weight.astype(jnp.bfloat16) for weight in net.weights))


def has_matrix_units() -> bool:
    """True if the default device is an NVIDIA GPU that multiplies in bfloat16."""
    first = jax.devices()[0]
    return "NVIDIA" in first.device_kind and int(str(getattr(first, "compute_capability", 0)).split(".")[0]) >= AMPERE
