"""iLQR: the regulator of the system as it is near a plan, again and again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.fields import Real, real
from handful.linalg import eigh, solve_positive
from handful.planning.base import AbstractPlanner, Info, check_sizes, elites_of, middle, moved_on
from handful.planning.problem import Problem

SHARES = 0.5 ** np.append(np.arange(8.0), np.inf)  # of Newton's step between limits: all, a half, … none
LEAST, MOST = -10.0, 10.0  # of the damping's exponent: nothing in float32, and steps that move nothing


class ILQRState(eqx.Module):
    """The plan, and how far its neighbourhood is trusted."""

    plan: Float[Array, "h a"]
    damping: Float[Array, ""]  # decimal exponent of Levenberg's term


class Local(eqx.Module):
    """The problem near a trajectory, as a cost of deviations z = (x, u) of observation and action, at one time or each.

    Next deviation: `dynamics z`. Cost: `gradient' z + z' hessian z / 2`, with a hessian that is positive semidefinite.
    """

    dynamics: Float[Array, "*h o z"]
    gradient: Float[Array, "*h z"]
    hessian: Float[Array, "*h z z"]


class ILQR(AbstractPlanner):
    """Linearise the belief's mean and quadratise the reward along the plan, solve backwards, search forwards.

    Backwards, with q and Q the gradient and Hessian of the cost to go in z = (x, u), and V, v those of the next
    observation's:

        q = l + F' v,   Q = L + F' V F,   u = k + K x minimises over the action's limits,
        V = [I K'] Q [I; K],   v = [I K'] (q + Q [0; k])

    Q_uu is damped by `10^damping` times its mean diagonal. Forwards, the plans `u + s k + K x` for the step sizes
    `s = backtrack^i`, clipped to the limits, are rolled through the mean, and what they are worth is asked of the
    problem, with its propagator and risk. The best is taken if it is finite and better than the plan at hand; then
    the damping falls by `factor`, else it rises. The middle plan is always among the candidates, so a plan that has
    become worthless is left. No random number is used but the problem's.

    Source: [Tassa12] with the limits of [Tassa14]. Deviates: the dynamics' second derivatives and negative curvature
    of the cost are left out, so no backward pass fails; damping is relative; derivatives that are not finite count as
    zero.
    """

    horizon: int = eqx.field(static=True, default=25)
    candidates: int = eqx.field(static=True, default=10)  # step sizes
    iterations: int = eqx.field(static=True, default=10)
    backtrack: Real = real(0.5)
    damping: Real = real(1e-6)  # at the start of each control step
    factor: Real = real(10.0)

    def __check_init__(self) -> None:
        check_sizes(self, self.candidates)

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
        returns = problem.evaluate(key, obs, plans)  # the first of equals wins, and that is the plan at hand
        elites, finite, info = elites_of(plans, returns, 1)
        change = jnp.where(info.best > returns[0], -1, 1) * jnp.log10(self.factor)
        damping = jnp.where(finite[0], jnp.clip(state.damping + change, LEAST, MOST), state.damping)
        return ILQRState(jnp.where(finite[0], elites[0], plan), damping), info

    def plan(self, state: ILQRState) -> Float[Array, "h a"]:
        return state.plan

    def shift(self, problem: Problem, state: ILQRState) -> ILQRState:
        return ILQRState(moved_on(state.plan, state.plan[-1]), jnp.log10(self.damping))


def _mean(problem: Problem, obs: Float[Array, "o"], action: Float[Array, "a"]) -> Float[Array, "o"]:
    return problem.model.predict(obs, action).mean


def _rolled(problem: Problem, obs: Float[Array, "o"], plan: Float[Array, "h a"]) -> Float[Array, "h+1 o"]:
    def step(obs: Float[Array, "o"], action: Float[Array, "a"]) -> tuple[Float[Array, "o"], Float[Array, "o"]]:
        following = _mean(problem, obs, action)
        return following, following

    _, later = jax.lax.scan(step, obs, plan)
    return jnp.concatenate([obs[None], later])


def _local(problem: Problem, plan: Float[Array, "h a"], trajectory: Float[Array, "h+1 o"]) -> Local:
    """Derivatives at each time. Nothing is paid after the step that terminates."""
    o, task = trajectory.shape[1], problem.task

    def reward(joint: Float[Array, "w"]) -> Float[Array, ""]:
        return task.reward(joint[:o], joint[o:-o], joint[-o:])

    def at(obs: Float[Array, "o"], action: Float[Array, "a"], following: Float[Array, "o"], weight: Array) -> Local:
        A, B = jax.jacfwd(lambda x, u: _mean(problem, x, u), argnums=(0, 1))(obs, action)
        dynamics = _finite(jnp.concatenate([A, B], axis=1))
        joint = jnp.concatenate([obs, action, following])
        # How observation, action and next observation follow from z = (x, u).
        joined = jnp.concatenate([jnp.eye(dynamics.shape[1], dtype=obs.dtype), dynamics])
        gradient = joined.T @ _finite(jax.grad(reward)(joint))
        hessian = joined.T @ _finite(jax.hessian(reward)(joint)) @ joined
        return Local(dynamics, -weight * gradient, _positive(-weight * hessian))

    over = jnp.cumsum(jax.vmap(task.terminated)(trajectory[1:]))
    alive = jnp.concatenate([jnp.ones(1, bool), over[:-1] == 0])
    weights = jnp.where(alive, problem.judged_by ** jnp.arange(plan.shape[0]), 0.0)
    return jax.vmap(at)(trajectory[:-1], plan, trajectory[1:], weights)


def _solved(
    local: Local, low: Float[Array, "h a"], high: Float[Array, "h a"], damping: Float[Array, ""]
) -> tuple[Float[Array, "h a"], Float[Array, "h a o"]]:
    """Steps k and gains K of the backward pass; `low` and `high` limit what an action may change by."""
    o, a = local.dynamics.shape[1], low.shape[1]

    def backward(carry: tuple, now: tuple) -> tuple[tuple, tuple]:
        value_gradient, value_hessian = carry
        local, low, high = now
        q = local.gradient + local.dynamics.T @ value_gradient
        Q = local.hessian + local.dynamics.T @ value_hessian @ local.dynamics
        curvature = jnp.diag(Q)[o:].mean()
        curvature = jnp.where(curvature > 0, curvature, 1.0)
        damped = Q[o:, o:] + 10.0**damping * curvature * jnp.eye(a, dtype=Q.dtype)
        step, free = _within(damped, q[o:], low, high)
        gain = _finite(_solve(damped, -Q[o:, :o], free))
        closed = jnp.concatenate([jnp.eye(o, dtype=Q.dtype), gain])
        towards = q + Q[:, o:] @ step
        return (_finite(closed.T @ towards), _finite(closed.T @ Q @ closed)), (step, gain)

    nothing = jnp.zeros(o, local.gradient.dtype), jnp.zeros((o, o), local.gradient.dtype)
    _, (steps, gains) = jax.lax.scan(backward, nothing, (local, low, high), reverse=True)
    return steps, gains


def _within(
    hessian: Float[Array, "a a"], gradient: Float[Array, "a"], low: Float[Array, "a"], high: Float[Array, "a"]
) -> tuple[Float[Array, "a"], Bool[Array, "a"]]:
    """The step that minimises between limits, and which entries are free: a projected Newton method from zero.

    Entries at a limit that the slope pushes outwards are held; the others take Newton's step, or the best share of it
    once clipped.
    """

    def free(step: Float[Array, "a"]) -> Bool[Array, "a"]:
        slope = gradient + hessian @ step
        return ~(((step <= low) & (slope > 0)) | ((step >= high) & (slope < 0)))

    def cost(step: Float[Array, "a"]) -> Float[Array, ""]:
        return step @ gradient + step @ hessian @ step / 2

    def again(_: Int[Array, ""], step: Float[Array, "a"]) -> Float[Array, "a"]:
        newton = _finite(_solve(hessian, -(gradient + hessian @ step), free(step)))
        steps = jnp.clip(step + SHARES[:, None] * newton, low, high)
        return steps[jnp.argmin(jax.vmap(cost)(steps))]

    # Newton finds the entries to hold one or more at a time; each may be let go once.
    step = jax.lax.fori_loop(0, 2 * gradient.shape[0] + 1, again, jnp.zeros_like(gradient))
    return step, free(step)


def _solve(hessian: Float[Array, "a a"], right: Float[Array, "a *k"], free: Bool[Array, "a"]) -> Float[Array, "a *k"]:
    """The solution in the free entries alone; the others are zero."""
    both = free[:, None] & free[None, :]
    kept = jnp.where(both, hessian, jnp.eye(free.shape[0], dtype=hessian.dtype))
    right = jnp.where(free.reshape(-1, *[1] * (right.ndim - 1)), right, 0.0)
    return solve_positive(kept, right)


def _followed(
    problem: Problem, plan: Float[Array, "h a"], trajectory: Float[Array, "h+1 o"], change: tuple[Array, Array]
) -> Float[Array, "h a"]:
    """The actions of the plan with its steps and gains, in the mean."""

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
