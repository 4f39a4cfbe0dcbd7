"""iLQR: linear-quadratic regulators around a plan, repeated."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.fields import Real, check_finite, check_within, real
from handful.linalg import eigh, solve_positive
from handful.models.base import predicted
from handful.planning.base import AbstractPlanner, Info, check_sizes, elites_of, middle, moved_on
from handful.planning.problem import Problem

STEP_SIZES = 0.5 ** np.append(np.arange(8.0), np.inf)  # of Newton's step between limits: 1, 1/2, … 0
MIN_DAMPING, MAX_DAMPING = -10.0, 10.0  # decimal exponents: no effect in float32, and steps of no effect


class ILQRState(eqx.Module):
    """The plan, and the damping of the next step."""

    plan: Float[Array, "h a"]
    damping: Float[Array, ""]  # decimal exponent of the Levenberg-Marquardt term


class Local(eqx.Module):
    """The problem near a trajectory in deviations z = (x, u) of observation and action, at one time or all.

    Next deviation: `dynamics z`. Cost: `gradient' z + z' hessian z / 2`, with a hessian that is positive semidefinite.
    """

    dynamics: Float[Array, "*h o z"]
    gradient: Float[Array, "*h z"]
    hessian: Float[Array, "*h z z"]


class ILQR(AbstractPlanner):
    """Linearises the mean of the belief and approximates the reward to second order along the plan.

    Backward pass, with q and Q the gradient and Hessian of the cost to go in z = (x, u), and v and V those at the next
    observation:

        q = l + F' v,   Q = L + F' V F,   u = k + K x minimises over the action's limits,
        V = [I K'] Q [I; K],   v = [I K'] (q + Q [0; k])

    Q_uu is damped by `10^damping` times its mean diagonal, with actions in half-ranges of their limits. Forward pass:
    the plans `u + s k + K x` for the step sizes `s = backtrack^i`, clipped to the limits, are rolled out in the mean
    and evaluated by the problem, with its propagator and risk. The best is taken if it is finite and better than the
    current plan; then the damping is divided by `factor`, otherwise multiplied. The middle plan is always a candidate,
    so that a plan which has become bad is abandoned. Random numbers are used by the problem only.

    Source: [Tassa12] with the limits of [Tassa14]. Deviates: second derivatives of the dynamics and negative curvature
    of the cost are left out, so that no backward pass fails; damping is relative; derivatives that are not finite
    are replaced by zero.
    """

    horizon: int = eqx.field(static=True, default=25)
    candidates: int = eqx.field(static=True, default=10)  # step sizes
    iterations: int = eqx.field(static=True, default=10)
    backtrack: Real = real(0.5)
    damping: Real = real(1e-6)  # at the start of each control step
    factor: Real = real(10.0)

    def __check_init__(self) -> None:
        check_sizes(self, self.candidates)
        check_within(self, "backtrack", 0.0, 1.0, least_excluded=True)
        check_within(self, "damping", 0.0, least_excluded=True)
        check_within(self, "factor", 1.0)
        check_finite(self, "damping", "factor")

    def init(self, problem: Problem) -> ILQRState:
        return ILQRState(middle(problem.task, self.horizon), jnp.log10(self.damping))

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: ILQRState
    ) -> tuple[ILQRState, Info]:
        task, plan = problem.task, state.plan
        trajectory = _rolled(problem, obs, plan)
        steps, gains = _solved(_local(problem, plan, trajectory), task.low - plan, task.high - plan, state.damping)
        sizes = self.backtrack ** jnp.arange(self.candidates)
        plans = jax.vmap(lambda size: _followed(problem, plan, trajectory, (size * steps, gains)))(sizes)
        plans = jnp.concatenate([plan[None], plans, middle(task, self.horizon)[None]])
        values = problem.evaluate(key, obs, plans)  # the first wins ties, which is the current plan
        elites, finite, info = elites_of(plans, values, 1)
        change = jnp.where(info.best > values[0], -1, 1) * jnp.log10(self.factor)
        damping = jnp.where(finite[0], jnp.clip(state.damping + change, MIN_DAMPING, MAX_DAMPING), state.damping)
        return ILQRState(jnp.where(finite[0], elites[0], plan), damping), info

    def plan(self, state: ILQRState) -> Float[Array, "h a"]:
        return state.plan

    def shift(self, problem: Problem, state: ILQRState) -> ILQRState:
        return ILQRState(moved_on(state.plan, state.plan[-1]), jnp.log10(self.damping))


def _mean(problem: Problem, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
    return predicted(problem.model, obs, action).mean


def _rolled(problem: Problem, obs: Float[Array, "o"], plan: Float[Array, "h a"]) -> Float[Array, "h+1 o"]:
    def step(obs: Float[Array, "o"], action: Float[Array, "a"]) -> tuple[Float[Array, "o"], Float[Array, "o"]]:
        following = _mean(problem, obs, action)
        return following, following

    _, later = jax.lax.scan(step, obs, plan)
    return jnp.concatenate([obs[None], later])


def _local(problem: Problem, plan: Float[Array, "h a"], trajectory: Float[Array, "h+1 o"]) -> Local:
    """Derivatives at each time. There is no reward after the step that terminates."""
    o, task = trajectory.shape[1], problem.task

    def reward(joint: Float[Array, "w"]) -> Float[Array, ""]:
        return task.reward(joint[:o], joint[o:-o], joint[-o:])

    def at(obs: Float[Array, "o"], action: Float[Array, "a"], following: Float[Array, "o"], weight: Array) -> Local:
        A, B = jax.jacfwd(lambda x, u: _mean(problem, x, u), argnums=(0, 1))(obs, action)
        dynamics = _finite(jnp.concatenate([A, B], axis=1))
        joint = jnp.concatenate([obs, action, following])
        # The Jacobian of (obs, action, next_obs) by z = (x, u).
        joined = jnp.concatenate([jnp.eye(dynamics.shape[1], dtype=obs.dtype), dynamics])
        gradient = joined.T @ _finite(jax.grad(reward)(joint))
        hessian = joined.T @ _finite(jax.hessian(reward)(joint)) @ joined
        return Local(dynamics, -weight * gradient, -weight * hessian)

    over = jnp.cumsum(jax.vmap(task.terminated)(trajectory[1:]))
    alive = jnp.concatenate([jnp.ones(1, bool), over[:-1] == 0])
    weights = jnp.where(alive, problem.ranking_discount ** jnp.arange(plan.shape[0]), 0.0)
    local = jax.vmap(at)(trajectory[:-1], plan, trajectory[1:], weights)
    sizes = _sizes(local.dynamics, _half_range(task.low, task.high))
    unit = sizes[:, None] * sizes
    return Local(local.dynamics, local.gradient, jax.vmap(_positive)(local.hessian * unit) / unit)


def _sizes(dynamics: Float[Array, "h o z"], half_range: Float[Array, "a"]) -> Float[Array, "z"]:
    """Magnitudes of z = (x, u), so that a curvature that is left out is the same in all units.

    Of an action its half-range; of an entry of the observation what such actions move it by, in the first step in which
    they do.
    """

    def step(size: Float[Array, "o"], F: Float[Array, "o z"]) -> tuple[Float[Array, "o"], None]:
        return jnp.where(size > 0, size, jnp.abs(F) @ jnp.concatenate([size, half_range])), None

    size, _ = jax.lax.scan(step, jnp.zeros(dynamics.shape[1], dynamics.dtype), dynamics)
    return jnp.concatenate([jnp.where(size > 0, size, 1.0), half_range])


def _half_range(low: Float[Array, "a"], high: Float[Array, "a"]) -> Float[Array, "a"]:
    """One for an action without a range, which never moves."""
    return jnp.where(high > low, (high - low) / 2, 1.0)


def _solved(
    local: Local, low: Float[Array, "h a"], high: Float[Array, "h a"], damping: Float[Array, ""]
) -> tuple[Float[Array, "h a"], Float[Array, "h a o"]]:
    """Steps k and gains K of the backward pass; `low` and `high` limit the change of each action."""
    o, half = local.dynamics.shape[1], _half_range(low[0], high[0])

    def backward(carry: tuple, now: tuple) -> tuple[tuple, tuple]:
        value_gradient, value_hessian = carry
        local, low, high = now
        q = local.gradient + local.dynamics.T @ value_gradient
        Q = local.hessian + local.dynamics.T @ value_hessian @ local.dynamics
        curvature = jnp.mean(jnp.diag(Q)[o:] * half**2)
        # Without any, that at which Newton's step crosses half the limits.
        curvature = jnp.where(curvature > 0, curvature, jnp.abs(q[o:] * half).max())
        curvature = jnp.where(curvature > 0, curvature, 1.0)  # nothing depends on the action
        damped = Q[o:, o:] + 10.0**damping * jnp.diag(curvature / half**2)
        step, free = _within(damped, q[o:], low, high)
        gain = _finite(_solve(damped, -Q[o:, :o], free))
        closed = jnp.concatenate([jnp.eye(o, dtype=Q.dtype), gain])
        towards = q + Q[:, o:] @ step
        return (_finite(closed.T @ towards), _finite(closed.T @ Q @ closed)), (step, gain)

    zero = jnp.zeros(o, local.gradient.dtype), jnp.zeros((o, o), local.gradient.dtype)
    _, (steps, gains) = jax.lax.scan(backward, zero, (local, low, high), reverse=True)
    return steps, gains


def _within(
    hessian: Float[Array, "a a"], gradient: Float[Array, "a"], low: Float[Array, "a"], high: Float[Array, "a"]
) -> tuple[Float[Array, "a"], Bool[Array, "a"]]:
    """The minimising step within limits, and which entries are free: a projected Newton method from zero.

    Entries at a limit with an outward descent direction are fixed; the others take Newton's step, scaled by the best of
    `STEP_SIZES` after clipping.
    """

    def free(step: Float[Array, "a"]) -> Bool[Array, "a"]:
        slope = gradient + hessian @ step
        return ~(((step <= low) & (slope > 0)) | ((step >= high) & (slope < 0)))

    def cost(step: Float[Array, "a"]) -> Float[Array, ""]:
        return step @ gradient + step @ hessian @ step / 2

    def iterate(_: Int[Array, ""], step: Float[Array, "a"]) -> Float[Array, "a"]:
        newton = _finite(_solve(hessian, -(gradient + hessian @ step), free(step)))
        steps = jnp.clip(step + STEP_SIZES[:, None] * newton, low, high)
        return steps[jnp.argmin(jax.vmap(cost)(steps))]

    # Newton's method finds the entries to fix one or more at a time; each may be released once.
    step = jax.lax.fori_loop(0, 2 * gradient.shape[0] + 1, iterate, jnp.zeros_like(gradient))
    return step, free(step)


def _solve(hessian: Float[Array, "a a"], right: Float[Array, "a *k"], free: Bool[Array, "a"]) -> Float[Array, "a *k"]:
    """The solution in the free entries; the others are zero."""
    both = free[:, None] & free[None, :]
    kept = jnp.where(both, hessian, jnp.eye(free.shape[0], dtype=hessian.dtype))
    right = jnp.where(free.reshape(-1, *[1] * (right.ndim - 1)), right, 0.0)
    return solve_positive(kept, right)


def _followed(
    problem: Problem, plan: Float[Array, "h a"], trajectory: Float[Array, "h+1 o"], change: tuple[Array, Array]
) -> Float[Array, "h a"]:
    """The actions of the plan with steps and gains, rolled out in the mean."""

    def step(obs: Float[Array, "o"], now: tuple) -> tuple[Float[Array, "o"], Float[Array, "a"]]:
        before, action, step, gain = now
        action = jnp.clip(action + step + gain @ (obs - before), problem.task.low, problem.task.high)
        return _mean(problem, obs, action), action

    _, actions = jax.lax.scan(step, trajectory[0], (trajectory[:-1], plan, *change))
    return jnp.where(jnp.isfinite(actions), actions, plan)


def _positive(hessian: Float[Array, "z z"]) -> Float[Array, "z z"]:
    """The nearest positive semidefinite matrix."""
    values, vectors = eigh(_finite((hessian + hessian.T) / 2))
    return _finite((vectors * jnp.maximum(values, 0.0)) @ vectors.T)


def _finite(values: Array) -> Array:
    return jnp.where(jnp.isfinite(values), values, 0.0)
