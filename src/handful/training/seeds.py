"""Several seeds in one compiled program: what differs between them carries a leading axis s, one entry a seed.

No seed affects another. A single seed has no such axis, so its program is the plain one.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from handful.devices import AXIS, all_devices
from handful.errors import InputError


@dataclasses.dataclass(frozen=True)
class Spread:
    """Applies a function of one seed inside compiled code: as it is, or mapped over seeds and devices."""

    many: bool
    mesh: Mesh | None = None  # devices that share the seeds, equally many each

    def __call__(self, one: Callable[..., Any], *trees: Any) -> Any:
        if not self.many:
            return one(*trees)
        every = jax.vmap(one)
        if self.mesh is None:
            return every(*trees)
        split = PartitionSpec(AXIS)
        return jax.shard_map(every, mesh=self.mesh, in_specs=split, out_specs=split, check_vma=False)(*trees)


class Seeds:
    """Stacks what belongs to each seed, and takes it apart again. The last seed is repeated to fill the devices."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)
        mesh = all_devices() if len(self.seeds) > 1 else None
        self.spread = Spread(len(self.seeds) > 1, mesh)
        missing = -len(self.seeds) % mesh.size if mesh else 0
        self.places = [*self.seeds, *self.seeds[-1:] * missing]

    def stack(self, trees: Mapping[int, Any]) -> Any:
        """One tree for all seeds."""
        if not self.spread.many:
            return trees[self.seeds[0]]
        return jax.tree.map(_stacked, *(trees[seed] for seed in self.places))

    def of(self, tree: Any, seed: int) -> Any:
        """The entry of one seed, sliced on the host, which compiles nothing."""
        if not self.spread.many:
            return tree
        return jax.tree.map(lambda leaf: np.asarray(leaf)[self.seeds.index(seed)], tree)

    def named(self, seed: int, check: Callable[..., None], *args: Any) -> None:
        """A check of one seed, whose `InputError` names the seed where there are many."""
        try:
            check(*args)
        except InputError as error:
            if not self.spread.many:
                raise
            raise InputError(f"seed {seed}: {error}") from error


ONE = Seeds([0])  # where there is but one, whichever it is


def as_it_is(key: Any, state: Any) -> Any:
    """The state itself: a policy that acts whatever the key."""
    return state


def to_host(tree: Any) -> Any:
    """NumPy arrays: arrays that stayed on the devices that share the seeds would compile every next call again."""
    return jax.tree.map(np.asarray, tree)


def _stacked(*leaves: Any) -> jax.Array:
    if isinstance(leaves[0], jax.Array) and jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        return jnp.stack(leaves)
    return jnp.asarray(np.stack([np.asarray(leaf) for leaf in leaves]))
