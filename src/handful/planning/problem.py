"""The planning problem: the value of a plan, given a task, a belief and a propagator."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Key, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, check_within, maybe_real
from handful.models.base import AbstractDynamics
from handful.planning.spread import spread
from handful.policies.base import AbstractPolicy
from handful.policies.simple import OpenLoop
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import AbstractRisk, Mean
from handful.task import Task
from handful.types import Rollout

TerminalValue = Callable[[Float[Array, "o"]], Float[Array, ""]]  # an equinox.Module, if it has weights

LOST_STEP = 1e-6  # of the value of a plan, for each step after termination: ten times the resolution of float32
LEAST_VALUE = 1e-30  # replaces a value of zero; a millionth of it is still a normal float32 number


class Problem(eqx.Module):
    """The optimal control problem: maximise the risk-adjusted return of a task over plans of h steps.

        value = risk(sum_t discount^t reward(obs_t, action_t, obs_t+1) + discount^h terminal_value(obs_h))

    The risk is taken over the particles of the propagator. A return ends with the step that terminates.
    `terminal_value`, if given, is added for particles that have not terminated. `discount` overrides that of the task
    when plans are ranked; reported returns always use that of the task.

    Among plans with equal returns, the one that survives longest ranks first: for each step after termination, on
    average over particles, the value is reduced by a millionth of its magnitude. This decides between ties only: if the
    reward favours early termination, plans terminate early.

    The weights of the model are leaves: a planner compiled once plans with every later model.
    """

    task: Task
    model: AbstractDynamics
    propagator: AbstractPropagator
    risk: AbstractRisk = eqx.field(default_factory=Mean)
    mesh: Mesh | None = eqx.field(static=True, default=None)  # devices to distribute candidates over
    terminal_value: TerminalValue | None = None
    discount: Real | None = maybe_real()  # for ranking plans; that of the task by default
    same_noise: bool = eqx.field(static=True, default=True)  # for all plans that are compared; else each has its own

    def __check_init__(self) -> None:
        check_within(self, "discount", 0.0, 1.0)

    @property
    def ranking_discount(self) -> Float[Array, ""]:
        """The discount by which plans are ranked."""
        return self.task.discount if self.discount is None else self.discount

    def particle_returns(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], plan: Float[Array, "h a"]
    ) -> Float[Array, "p"]:
        """The return of a plan in each particle; minus infinity for particles that are not finite."""
        rollout = self.propagator(key, self.model, OpenLoop(plan), obs, plan.shape[0])
        returns, _ = self._outcomes(rollout, self.task.discount)
        return returns

    def policy_value(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], policy: AbstractPolicy, horizon: int
    ) -> Float[Array, ""]:
        """The value of a policy over `horizon` steps; minus infinity if a particle is not finite."""
        rollout = self.propagator(key, self.model, policy, obs, horizon)
        returns, lost = self._outcomes(rollout, self.ranking_discount)
        if self.terminal_value is not None:
            returns = returns + jax.vmap(self._terminal, in_axes=(0, 0, None))(rollout.obs[:, -1], lost, horizon)
        value = self.risk(returns)
        tie = LOST_STEP * lost.mean() * jnp.maximum(jnp.abs(value), LEAST_VALUE)
        ranked = value - jax.lax.stop_gradient(tie)
        return jnp.where(jnp.isfinite(returns).all() & jnp.isfinite(ranked), ranked, -jnp.inf)

    def evaluate(self, key: PRNGKeyArray, obs: Float[Array, "o"], plans: Float[Array, "n h a"]) -> Float[Array, "n"]:
        """The value of each plan, all in the same worlds and with the same noise.

        Where `same_noise` is False each has noise of its own, and worlds of its own if the model has no members.

        A plan with a particle that is not finite has value minus infinity, below every plan that is finite throughout.
        Raises `InputError` if plans have another shape than (candidates, horizon, actions).
        """
        if jnp.ndim(plans) != 3 or plans.shape[2] != self.task.action_size:
            raise InputError(
                f"plans must have the shape (candidates, horizon, {self.task.action_size}), got {jnp.shape(plans)}"
            )
        keys = None if self.same_noise else jax.random.split(key, plans.shape[0])
        return spread(self.mesh, _values, (self, key, obs), (plans, keys))

    def _outcomes(self, rollout: Rollout, discount: Float[Array, ""]) -> tuple[Float[Array, "p"], Float[Array, "p"]]:
        return jax.vmap(self._outcome, (0, 0, None))(rollout.actions, rollout.obs, discount)

    def _outcome(
        self, actions: Float[Array, "h a"], obs: Float[Array, "h+1 o"], discount: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The discounted sum of rewards up to and including the step that terminates; and the steps lost after it."""
        rewards = jax.vmap(self.task.reward)(obs[:-1], actions, obs[1:])
        over = jnp.cumsum(jax.vmap(self.task.terminated)(obs[1:])) > 0
        alive = jnp.concatenate([jnp.ones(1, bool), ~over[:-1]])
        finite = jnp.all(jnp.where(alive, jnp.isfinite(rewards) & jnp.isfinite(obs[1:]).all(1), True))
        later = jnp.broadcast_to(discount, actions.shape[:1]).at[0].set(1.0)
        discounts = jnp.cumprod(later)  # exact to the last bits, which powers are not on some backends
        return_ = jnp.where(finite, jnp.sum(jnp.where(alive, discounts * rewards, 0.0)), -jnp.inf)
        return return_, over.sum().astype(return_.dtype)

    def _terminal(self, last: Float[Array, "o"], lost: Float[Array, ""], horizon: int) -> Float[Array, ""]:
        """The discounted terminal value, which is zero after termination."""
        assert self.terminal_value is not None
        return jnp.where(lost > 0, 0.0, self.ranking_discount**horizon * self.terminal_value(last))


def _values(
    shared: tuple[Problem, PRNGKeyArray, Float[Array, "o"]],
    candidates: tuple[Float[Array, "n h a"], Key[Array, "n"] | None],
) -> Float[Array, "n"]:
    problem, key, obs = shared

    def value(plan: Float[Array, "h a"], own: PRNGKeyArray | None) -> Float[Array, ""]:
        return problem.policy_value(key if own is None else own, obs, OpenLoop(plan), plan.shape[0])

    return jax.vmap(value)(*candidates)
