"""Numerical integration of ordinary differential equations."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float


def runge_kutta(
    derivative: Callable[[Float[Array, "s"]], Float[Array, "s"]], state: Float[Array, "s"], dt: float, substeps: int
) -> Float[Array, "s"]:
    """The state after `dt` [s], by `substeps` equal steps of the classical fourth-order method."""
    step = dt / substeps

    def substep(x: Float[Array, "s"], _: None) -> tuple[Float[Array, "s"], None]:
        k1 = derivative(x)
        k2 = derivative(x + step / 2 * k1)
        k3 = derivative(x + step / 2 * k2)
        k4 = derivative(x + step * k3)
        return x + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    # Not unrolled, so that the function is compiled once per loop.
    return jax.lax.scan(substep, state, length=substeps)[0]
