"""Distributes the fits of members over devices; the remainder is fitted by all devices together."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from handful.devices import AXIS

Work = Callable[
    [Any, Any, int], Any
]  # (members, common, number of devices working together) -> results for each member


def shared_out(mesh: Mesh | None, work: Work, members: Any, common: Any, *, together: bool = False) -> Any:
    """`work(members, common, 1)`, distributed over the devices of a mesh, if there is one.

    With 5 members on 2 devices, each device does 2 on its own without communication; then both do the fifth,
    `work(member, common, 2)`, which may use `my_part` and `agreed`. Members that depend on each other are done
    `together`: by all devices. All leaves of `members` and of the results of
    `work` have the members as leading axis.
    """
    if mesh is None:
        return work(members, common, 1)
    (arrays, fixed), (common_arrays, common_fixed) = (eqx.partition(tree, eqx.is_array) for tree in (members, common))
    count = jax.tree.leaves(arrays)[0].shape[0]
    alone = 0 if together else count // mesh.size * mesh.size
    pick = lambda part: jax.tree.map(lambda leaf: leaf[part], arrays)

    def share(own: Any, left: Any, common_arrays: Any) -> Any:
        common, done = eqx.combine(common_arrays, common_fixed), []
        if alone:
            result = work(eqx.combine(own, fixed), common, 1)
            done.append(jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, AXIS, tiled=True), result))
        if alone < count:
            done.append(work(eqx.combine(left, fixed), common, mesh.size))
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *done)

    everywhere = PartitionSpec()
    return jax.shard_map(
        share,
        mesh=mesh,
        in_specs=(PartitionSpec(AXIS), everywhere, everywhere),
        out_specs=everywhere,
        check_vma=False,
    )(pick(slice(None, alone)), pick(slice(alone, None)), common_arrays)


def my_part(rows: Any, devices: int) -> Any:
    """The part of axis 1 that belongs to this device; everything if only one device works."""
    if devices == 1:
        return rows
    size = rows.shape[1] // devices
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(AXIS) * size, size, axis=1)


def agreed(tree: Any, devices: int) -> Any:
    """The mean over the devices that work together, in one exchange for all leaves."""
    if devices == 1:
        return tree
    flat, unravel = ravel_pytree(tree)
    return unravel(jax.lax.pmean(flat, AXIS))
