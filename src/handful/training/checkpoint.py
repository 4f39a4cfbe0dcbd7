"""Checkpoints: the leaves of a pytree and a small header, in one npz file."""

import io
import json
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from handful.devices import placed_like
from handful.errors import InputError
from handful.training.files import damaged, write_whole

State = TypeVar("State")


def save(path: Path, state: Any, header: dict[str, Any]) -> None:
    """Write all leaves of `state`, named by their place in the tree, and `header` as JSON."""
    leaves = {name: np.asarray(leaf) for name, leaf in _named(state)}
    save_arrays(path, leaves, header)


def load(path: Path, like: State) -> tuple[State, dict[str, Any]]:
    """Read back a state of the same structure, shapes and types as `like`, and the header.

    Raises `InputError` where the file is damaged or holds a state of another structure.
    """
    arrays, header = load_arrays(path)
    named = _named(like)
    if [name for name, _ in named] != list(arrays) or any(
        arrays[name].shape != leaf.shape or arrays[name].dtype != leaf.dtype for name, leaf in named
    ):
        raise InputError(
            f"{path} holds a state of another structure than this run's configuration makes; it was written by another "
            "version or for another configuration: start a new run with --out"
        )
    leaves = [placed_like(arrays[name], leaf) for name, leaf in named]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), header


def save_arrays(path: Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    """Write named arrays and a JSON header."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, header=text, **arrays)
    write_whole(path, buffer.getvalue())


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote. Raises `InputError` where the file is missing or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes())
    except Exception as error:  # a flipped bit makes the zip and npy readers raise almost anything
        raise damaged(path, error, "restore it from a copy, or start a new run") from error
    return arrays, header


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(place), leaf) for place, leaf in jax.tree_util.tree_leaves_with_path(tree)]
