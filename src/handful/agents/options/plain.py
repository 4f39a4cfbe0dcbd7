"""Values of an agent's fields, as a configuration has them."""

from typing import Any

import equinox as eqx


def plain(value: Any) -> Any:
    """A field's value as JSON has it; a float as the shortest decimal that gives the same number again.

    >>> import jax.numpy as jnp
    >>> plain(jnp.asarray(0.1)), plain(jnp.asarray(3)), plain((2, 3)), plain(jnp.zeros(2))
    (0.1, 3, (2, 3), None)
    """
    if isinstance(value, bool | int | float | str | tuple):
        return value
    if not eqx.is_array(value) or value.ndim:
        return None
    return float(str(value)) if eqx.is_inexact_array(value) else value.item()
