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
    evaluate: Callable[[Any, Float[Array, "n h a"]], Float[Array, "n"]],
    shared: Any,
    plans: Float[Array, "n h a"],
) -> Float[Array, "n"]:
    """`evaluate(shared, plans)`, distributed over the devices; on one device if candidates do not divide evenly."""
    if mesh is None or plans.shape[0] % mesh.size:
        return evaluate(shared, plans)
    arrays, static = eqx.partition(shared, eqx.is_array)

    def share(arrays: Any, plans: Float[Array, "s h a"]) -> Float[Array, "n"]:
        return jax.lax.all_gather(evaluate(eqx.combine(arrays, static), plans), AXIS, tiled=True)

    everywhere = PartitionSpec()
    return jax.shard_map(
        share, mesh=mesh, in_specs=(everywhere, PartitionSpec(AXIS)), out_specs=everywhere, check_vma=False
    )(arrays, plans)
