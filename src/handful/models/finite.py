"""Finiteness of trees of arrays, and selection between two trees."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

Tree = TypeVar("Tree")


def all_finite(tree: PyTree, leading: int = 0) -> Bool[Array, "*m"]:
    """True if every real number in a tree is finite, separately for each index of the first `leading` axes."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)]
    flags = [jnp.isfinite(leaf).reshape(*leaf.shape[:leading], -1).all(-1) for leaf in leaves]
    return jnp.stack(flags).all(0) if flags else jnp.ones((), bool)


def where(choice: Bool[Array, "*m"], new: Tree, old: Tree) -> Tree:
    """The arrays of `new` where `choice` holds, else those of `old`; the axes of `choice` lead those of each array."""

    def pick(new: Array, old: Array) -> Array:
        if not eqx.is_array(new):
            return new
        return jnp.where(jnp.expand_dims(choice, tuple(range(choice.ndim, new.ndim))), new, old)

    return jax.tree.map(pick, new, old)
