"""The peak of a posterior and the Gaussian that fits it there."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from handful.linalg import eigh, qr_factor, solve_triangular

LEAST_EIGENVALUE = 0.1  # of the whitened Hessian: curvature of the model widens a std to at most three times
STALLED = 3  # steps without a gain above rounding, after which the search stops


class Optimum(eqx.Module):
    """The result of a minimisation. Not finite if no value was."""

    point: Float[Array, "q"]
    value: Float[Array, ""]
    steps: Int[Array, ""]


def lbfgs(
    objective: Callable[[Float[Array, "q"]], Float[Array, ""]],
    start: Float[Array, "q"],
    max_steps: Int[Array, ""],
    tolerance: Float[Array, ""],
) -> Optimum:
    """The least value that L-BFGS finds in at most `max_steps` steps; it stops early on a gradient below `tolerance`.

    Source: [Nocedal06] algorithm 7.5, with the line search 3.5, as optax has them. Deviates: it also stops once
    float32 resolves no gain any more.
    """
    solver = optax.lbfgs()
    value_and_grad = jax.value_and_grad(objective)

    def step(carry: tuple) -> tuple:
        point, state, value, gradient, best, stalled = carry
        update, state = solver.update(gradient, state, point, value=value, grad=gradient, value_fn=objective)
        point: Any = optax.apply_updates(point, update)
        value, gradient = (optax.tree.get(state, name) for name in ("value", "grad"))  # from the line search
        gain = best.value - value
        better = (gain > 0) & jnp.isfinite(gradient).all()
        stalled = jnp.where(gain > 1e-6 * (1 + jnp.abs(value)), 0, stalled + 1)
        best = Optimum(jnp.where(better, point, best.point), jnp.where(better, value, best.value), best.steps + 1)
        return point, state, value, gradient, best, stalled

    def unfinished(carry: tuple) -> Bool[Array, ""]:
        _, _, value, gradient, best, stalled = carry
        finite = jnp.isfinite(value) & jnp.isfinite(gradient).all()
        return finite & (best.steps < max_steps) & (stalled < STALLED) & (jnp.abs(gradient).max() > tolerance)

    zero = jnp.zeros((), int)
    value, gradient = value_and_grad(start)
    carry = (start, solver.init(start), value, gradient, Optimum(start, value, zero), zero)
    return jax.lax.while_loop(unfinished, step, carry)[4]


def gaussian_at(
    whitened: Callable[[Float[Array, "q"]], Float[Array, "k"]], point: Float[Array, "q"]
) -> Float[Array, "q q"]:
    """A factor F of the covariance F F' of `exp(-(|whitened(z)|^2 + |z|^2) / 2)` at its peak.

        H = I + J' J + sum_k whitened_k Hessian(whitened_k),   F F' = H^-1

    Directions that the data do not constrain keep the prior's std, one. J' J is never formed: if the best known
    direction outweighs the worst by 10^4, the worst would be lost in float32. Instead R' R = I + J' J by QR;
    what remains of H is computed and decomposed in the coordinates R z, in which it is near I.

    Source: [MacKay92] for the approximation. Deviates: eigenvalues in those coordinates are at least
    `LEAST_EIGENVALUE`.
    """
    identity = jnp.eye(point.shape[0], dtype=point.dtype)
    jacobian = jax.jacfwd(whitened)(point)
    root = qr_factor(jnp.concatenate([jacobian, identity]))
    back = solve_triangular(root, identity)
    held = jax.lax.stop_gradient(whitened(point))
    twice = jax.jacfwd(jax.jacfwd(lambda y: held @ whitened(point + back @ y)))  # compiles sooner than jax.hessian
    bending = twice(jnp.zeros_like(point))
    # A kink in the physics may make second derivatives infinite; then only the first ones are used.
    bending = jnp.where(jnp.isfinite(bending).all(), (bending + bending.T) / 2, 0.0)
    eigenvalues, directions = eigh(identity + bending)
    return back @ (directions / jnp.sqrt(jnp.maximum(eigenvalues, LEAST_EIGENVALUE)))
