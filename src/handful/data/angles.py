"""Differences of angles, taken the shorter way round."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Numbers = TypeVar("Numbers", np.ndarray, jax.Array)


def shorter_way(change: Numbers, angles: tuple[int, ...]) -> Numbers:
    """A change "*b o" of an observation, with the entries `angles` [rad] within half a turn."""
    if not angles:
        return change
    of: Any = np if isinstance(change, np.ndarray) else jnp
    turned = of.mod(change + np.pi, 2 * np.pi) - np.pi
    return of.where(np.isin(np.arange(change.shape[-1]), angles), turned, change)
