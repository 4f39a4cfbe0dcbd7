"""The devices that work is distributed over: all local ones of the default kind."""

import dataclasses
from typing import TypeVar

import equinox as eqx
import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")
Module = TypeVar("Module", bound=eqx.Module)

AXIS = "devices"


def all_devices() -> Mesh | None:
    """A mesh of all local devices of the default kind; None if there is only one.

    A CPU is one device unless XLA is configured otherwise before it starts, as the command line does: it is faster to
    give each core its own share of the work than a part of each operation.
    """
    devices = jax.local_devices()
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,)) if len(devices) > 1 else None


def undivided(module: Module) -> Module:
    """The same module without any mesh: its work is done on one device, since something larger is distributed."""
    fields = {field.name: getattr(module, field.name) for field in dataclasses.fields(module)}
    alone = {
        name: None if isinstance(value, Mesh) else undivided(value)
        for name, value in fields.items()
        if isinstance(value, Mesh | eqx.Module)
    }
    changed = {name: value for name, value in alone.items() if value is not fields[name]}
    return dataclasses.replace(module, **changed) if changed else module


def everywhere(mesh: Mesh | None, tree: Tree) -> Tree:
    """The arrays replicated on every device, as distributed work returns them, so that functions compile once."""
    return tree if mesh is None else jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec()))


def placed_like(value: jax.typing.ArrayLike, like: jax.Array) -> jax.Array:
    """An array from the host on the devices of `like`, if these are several."""
    return (
        jax.device_put(value, like.sharding) if isinstance(like.sharding, NamedSharding) else jax.numpy.asarray(value)
    )
