"""The linear-quadratic regulator, whose optimum has a closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handful.linalg import solve_positive


class Regulator(eqx.Module):
    """The task of x_{t+1} = A x_t + B u_t with the reward -(x_t' Q x_t + u_t' R u_t) in each of `horizon` steps.

    Returns are undiscounted and actions unlimited. It is an oracle for planners on such a task.
    """

    A: Float[Array, "o o"]
    B: Float[Array, "o a"]
    Q: Float[Array, "o o"]
    R: Float[Array, "a a"]

    def optimal_return(self, obs: Float[Array, "o"], horizon: int) -> Float[Array, ""]:
        """The return of the optimal plan."""
        _, values = self.gains(horizon)
        return -obs @ values[0] @ obs

    def optimal_actions(self, obs: Float[Array, "o"], horizon: int) -> Float[Array, "{horizon} a"]:
        """The optimal plan. Its last action is zero, since the state after it has no cost."""
        gains, _ = self.gains(horizon)

        def forward(x: Float[Array, "o"], gain: Float[Array, "a o"]) -> tuple[Float[Array, "o"], Float[Array, "a"]]:
            action = -gain @ x
            return self.A @ x + self.B @ action, action

        _, actions = jax.lax.scan(forward, obs, gains)
        return actions

    def gains(self, horizon: int) -> tuple[Float[Array, "{horizon} a o"], Float[Array, "{horizon}+1 o o"]]:
        """The gains and value matrices of `riccati`, without a cost of the last state."""
        return riccati(self.A, self.B, self.Q, self.R, jnp.zeros_like(self.Q), horizon=horizon)


def riccati(
    A: Float[Array, "o o"],
    B: Float[Array, "o a"],
    Q: Float[Array, "o o"],
    R: Float[Array, "a a"],
    final: Float[Array, "o o"],
    *,
    horizon: int,
) -> tuple[Float[Array, "{horizon} a o"], Float[Array, "{horizon}+1 o o"]]:
    """Gains K_t and value matrices P_t of the finite-horizon regulator.

        minimise   x_h' final x_h + sum_{t<h} x_t' Q x_t + u_t' R u_t   subject to   x_{t+1} = A x_t + B u_t

        K_t = (R + B' P_{t+1} B)^-1 B' P_{t+1} A
        P_t = Q + K_t' R K_t + (A - B K_t)' P_{t+1} (A - B K_t),   P_h = final

    The best action is u_t = -K_t x_t and the least cost to go x_t' P_t x_t. Q and final must be positive semidefinite
    and R positive definite, all symmetric; otherwise the result is not finite or meaningless.

    Source: [Bertsekas17] section 3.1, with P_t in the form that rounding cannot make indefinite. Deviates: no.
    """

    def backward(
        value: Float[Array, "o o"], _: None
    ) -> tuple[Float[Array, "o o"], tuple[Float[Array, "a o"], Float[Array, "o o"]]]:
        gain = solve_positive(R + B.T @ value @ B, B.T @ value @ A)
        closed = A - B @ gain
        value = Q + gain.T @ R @ gain + closed.T @ value @ closed
        return value, (gain, value)

    _, (gains, values) = jax.lax.scan(backward, final, length=horizon, reverse=True)
    return gains, jnp.concatenate([values, final[None]])
