"""Distributes candidates over devices: each evaluates its share, and all receive all values."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from handful.devices import AXIS


def spread(
    mesh: Mesh | None,
    evaluate: Callable[[Any, Any], Float[Array, "n"]],
    shared: Any,
    candidates: Any,
) -> Float[Array, "n"]:
    """`evaluate(shared, candidates)`, distributed over the devices; on one if candidates do not divide evenly.

    Every leaf of `candidates` has them as leading axis.
    """
    if mesh is None or jax.tree.leaves(candidates)[0].shape[0] % mesh.size:
        return evaluate(shared, candidates)
    arrays, static = eqx.partition(shared, eqx.is_array)

    def share(arrays: Any, candidates: Any) -> Float[Array, "n"]:
        return jax.lax.all_gather(evaluate(eqx.combine(arrays, static), candidates), AXIS, tiled=True)

    everywhere = PartitionSpec()
    return jax.shard_map(
        share, mesh=mesh, in_specs=(everywhere, PartitionSpec(AXIS)), out_specs=everywhere, check_vma=False
    )(arrays, candidates)
