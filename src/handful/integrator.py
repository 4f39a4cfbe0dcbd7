"""From a time derivative to the state a while later."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float


def runge_kutta(
    derivative: Callable[[Float[Array, "s"]], Float[Array, "s"]], state: Float[Array, "s"], dt: float, substeps: int
) -> Float[Array, "s"]:
    """`substeps` equal steps of the classical fourth-order method for an autonomous system."""
    step = dt / substeps

    def once(x: Float[Array, "s"], _: None) -> tuple[Float[Array, "s"], None]:
        k1 = derivative(x)
        k2 = derivative(x + step / 2 * k1)
        k3 = derivative(x + step / 2 * k2)
        k4 = derivative(x + step * k3)
        return x + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    # Not unrolled: what a user's function costs to compile is paid once a loop, and a fit has several.
    return jax.lax.scan(once, state, length=substeps)[0]
