"""Fields that are numbers, held as arrays so that a new value never recompiles."""

from functools import partial
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# What such a field is, once its converter has run. Constructors take plain numbers too, so type checkers see Any.
if TYPE_CHECKING:
    Real = Any
    Whole = Any
else:
    Real = Float[Array, ""]
    Whole = Int[Array, ""]

_as_float = partial(jnp.asarray, dtype=float)
_as_int = partial(jnp.asarray, dtype=int)


def real(default: Any = ...) -> Any:
    """A field of the default float type.

    Without the type, JAX would make a Python number a weakly typed array, and any other array in its place retraces.
    """
    return eqx.field(converter=_as_float) if default is ... else eqx.field(converter=_as_float, default=default)


def whole(default: Any = ...) -> Any:
    """A field of the default integer type; see `real`."""
    return eqx.field(converter=_as_int) if default is ... else eqx.field(converter=_as_int, default=default)
