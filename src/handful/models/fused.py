"""The forward pass of a net as one GPU kernel, for all members, particles and plans at once.

Layer by layer, a net of a few hundred units spends its time on moving activations to memory and back. Here a block of
rows stays in registers through all layers.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, BFloat16, Float

from handful.models.networks import GaussianNet, swish

MOST_UNITS = 256  # of a layer: the activations of a block of rows must fit into registers
ROWS = 64  # of a block: the fewest that the matrix units of a Hopper GPU take
TILE = 128  # most columns and rows of a weight multiplied at once
ALIGNED = 16  # least side of a matrix product

Layers = tuple[tuple[BFloat16[Array, "... _ _"], Float[Array, "... 1 _"]], ...]


class FusedNet(eqx.Module):
    """A Gaussian net whose products are in bfloat16, with sums and activations in float32, in one kernel.

    Returns what `GaussianNet` returns. Under any number of `vmap`s, over inputs or over nets, one kernel takes all rows
    of all nets. It has no derivatives. Without a GPU the kernel is interpreted, which is meant for tests only.
    """

    net: GaussianNet
    layers: Layers  # of the net, padded with zeros

    @classmethod
    def of(cls, net: GaussianNet) -> "FusedNet":
        """The kernel of one net, or of several stacked on leading axes."""
        layers = tuple(
            (
                _padded(weight.astype(jnp.bfloat16), (_aligned(weight.shape[-2]), _aligned(weight.shape[-1]))),
                _padded(bias[..., None, :], (1, _aligned(bias.shape[-1]))),
            )
            for weight, bias in zip(net.weights, net.biases, strict=True)
        )
        return cls(net, layers)

    @staticmethod
    def takes(net: GaussianNet) -> bool:
        """True if the layers of the net are narrow enough."""
        return max(max(weight.shape[-2:]) for weight in net.weights) <= MOST_UNITS

    def __call__(self, x: Float[Array, "i"]) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
        """Mean and variance."""
        out = _forward(jax.tree.map(lambda leaf: leaf[None], self.layers), x[None, None])
        return self.net.read(out[0, 0, : self.net.biases[-1].size])


@jax.custom_batching.custom_vmap
def _forward(layers: Layers, x: Float[Array, "m n i"]) -> Float[Array, "m n o"]:
    """The outputs of each net for its rows; `o` is padded like the layers."""
    nets, count, _ = x.shape
    x = _padded(x, (-(-count // ROWS) * ROWS, layers[0][0].shape[-2]))
    interpreted = jax.default_backend() != "gpu"
    tanh = jnp.tanh if interpreted else triton.approx_tanh  # of the hardware, accurate to three digits

    def unblocked(leaf: Array) -> pl.BlockSpec:
        return pl.BlockSpec((1, *leaf.shape[1:]), lambda net, block: (net, 0, 0))

    def block(columns: int) -> pl.BlockSpec:
        return pl.BlockSpec((1, ROWS, columns), lambda net, block: (net, block, 0))

    leaves = jax.tree.leaves(layers)
    out = jax.ShapeDtypeStruct((*x.shape[:2], layers[-1][0].shape[-1]), x.dtype)
    return pl.pallas_call(
        partial(_kernel, tanh=tanh),
        grid=(nets, x.shape[1] // ROWS),
        in_specs=[block(x.shape[2]), *map(unblocked, leaves)],
        out_specs=block(out.shape[2]),
        out_shape=out,
        compiler_params=triton.CompilerParams(num_warps=4),
        interpret=interpreted,
    )(x, *leaves)[:, :count]


@_forward.def_vmap
def _(size: int, batched: Sequence, layers: Layers, x: Float[Array, "..."]) -> tuple[Float[Array, "v m n o"], bool]:
    many_layers, many_rows = batched
    if not many_rows:
        x = jnp.broadcast_to(x, (size, *x.shape))
    _, nets, count, width = x.shape
    if not any(jax.tree.leaves(many_layers)):  # the same nets, with more rows
        rows = jnp.swapaxes(x, 0, 1).reshape(nets, size * count, width)
        return jnp.swapaxes(_forward(layers, rows).reshape(nets, size, count, -1), 0, 1), True

    def flat(leaf: Array, many: bool) -> Array:
        leaf = leaf if many else jnp.broadcast_to(leaf, (size, *leaf.shape))
        return leaf.reshape(size * nets, *leaf.shape[2:])

    out = _forward(jax.tree.map(flat, layers, many_layers), flat(x, many=True))
    return out.reshape(size, nets, count, -1), True


def _kernel(x_ref: Any, *refs: Any, tanh: Callable[[Array], Array]) -> None:
    """The forward pass of one block of rows through one net."""
    *layer_refs, out_ref = refs
    layers = list(zip(layer_refs[::2], layer_refs[1::2], strict=True))
    x = [x_ref[0, :, start:stop].astype(jnp.bfloat16) for start, stop in _tiles(x_ref.shape[2])]
    for index, (weight, bias) in enumerate(layers):
        following = []
        for left, right in _tiles(weight.shape[2]):
            total = bias[0, :, left:right] + sum(
                jax.lax.dot(part, weight[0, top:bottom, left:right], preferred_element_type=jnp.float32)
                for part, (top, bottom) in zip(x, _tiles(weight.shape[1]), strict=True)
            )
            if index == len(layers) - 1:
                out_ref[0, :, left:right] = total
            else:
                following.append(swish(total, tanh).astype(jnp.bfloat16))
        x = following


def _tiles(size: int) -> list[tuple[int, int]]:
    """Slices whose sizes are powers of two, as products in a kernel require: 208 is 128 + 64 + 16."""
    cuts, start = [], 0
    while start < size:
        stop = start + min(1 << (size - start).bit_length() - 1, TILE)
        cuts.append((start, stop))
        start = stop
    return cuts


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def _padded(values: Array, last: tuple[int, int]) -> Array:
    """Pads the last two axes with zeros to these sizes."""
    *leading, rows, columns = values.shape
    return jnp.pad(values, [*((0, 0) for _ in leading), (0, last[0] - rows), (0, last[1] - columns)])
