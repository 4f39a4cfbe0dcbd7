"""Numeric fields, stored as arrays so that a new value does not recompile anything."""

from functools import partial
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from handful.errors import InputError

# The type of such a field once its converter has run. Constructors take plain numbers too, so type checkers see Any.
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

    Without a dtype, JAX would make a Python number a weakly typed array, and any other array in its place would
    retrace.
    """
    return eqx.field(converter=_as_float) if default is ... else eqx.field(converter=_as_float, default=default)


def maybe_real() -> Any:
    """As `real`, or None by default."""
    return eqx.field(converter=lambda value: None if value is None else _as_float(value), default=None)


def whole(default: Any = ...) -> Any:
    """A field of the default integer type; see `real`."""
    return eqx.field(converter=_as_int) if default is ... else eqx.field(converter=_as_int, default=default)


def check_within(
    module: eqx.Module,
    name: str,
    low: float,
    high: float = np.inf,
    *,
    least_excluded: bool = False,
    finite: bool = False,
) -> None:
    """Raises `InputError` unless all numbers in a field are from `low` to `high`; passes while they are traced."""
    value = getattr(module, name)
    if isinstance(value, Tracer) or not eqx.is_array_like(value):  # under a transformation, or a placeholder
        return
    numbers = np.asarray(value)
    within = ((numbers > low) if least_excluded else (numbers >= low)) & (numbers <= high)
    if not (within & (np.isfinite(numbers) | (not finite))).all():
        bounds = f"above {low:g}" if least_excluded else f"at least {low:g}"
        bounds = (
            bounds
            if high == np.inf
            else f"{bounds} and at most {high:g}"
            if least_excluded
            else f"from {low:g} to {high:g}"
        )
        raise InputError(f"{name} must be {'finite and ' if finite else ''}{bounds}, got {numbers}")


def check_finite(module: eqx.Module, *names: str) -> None:
    """Raises `InputError` unless all numbers in these fields are finite; passes while they are traced."""
    for name in names:
        value = getattr(module, name)
        if not isinstance(value, Tracer) and eqx.is_array_like(value) and not np.isfinite(value).all():
            raise InputError(f"{name} must be finite, got {np.asarray(value)}")


def check_hidden(module: Any) -> None:
    """Raises `InputError` unless every size in the field `hidden` is at least 1."""
    if any(size < 1 for size in module.hidden):
        raise InputError(f"hidden layers must have at least one unit each, got hidden={module.hidden}")
