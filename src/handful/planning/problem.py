"""Where planner and belief meet: what is a plan worth?"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from handful.fields import Real, maybe_real
from handful.models.base import AbstractDynamics
from handful.planning.spread import spread
from handful.policies.base import AbstractPolicy
from handful.policies.simple import OpenLoop
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import AbstractRisk, Mean
from handful.task import Task
from handful.types import Rollout

Tail = Callable[[Float[Array, "o"]], Float[Array, ""]]  # an equinox.Module, if it has weights

FALLEN = 1e-6  # of a plan's worth, for each step it does not survive: ten times what float32 tells apart
LEAST = 1e-30  # stands for a worth of zero; a millionth of it is still an ordinary float32


class Problem(eqx.Module):
    """The task to do, the belief to trust, how its uncertainty travels, and how risk is weighed.

    With a `tail`, what a plan is worth counts too what its last observation is worth, discounted, in every particle
    that is still going on there. A plan may be judged by another `discount` than the task's, as that of the tail; what
    it returns is told by the task's.

    A return ends with the step that terminates. Of two plans that return the same, the one that survives longer ranks
    first: each step that a plan does not survive, in the mean over particles, takes a millionth of its size from what
    it is worth. That decides between equals and no more: where the reward pays for an early end, plans end early.

    The model's weights are leaves: a planner compiled once plans with every later model.
    """

    task: Task
    model: AbstractDynamics
    propagator: AbstractPropagator
    risk: AbstractRisk = eqx.field(default_factory=Mean)
    mesh: Mesh | None = eqx.field(static=True, default=None)  # devices to spread candidates over
    tail: Tail | None = None
    discount: Real | None = maybe_real()  # by which plans are judged, the task's if left out

    @property
    def judged_by(self) -> Float[Array, ""]:
        """The discount by which plans are judged."""
        return self.task.discount if self.discount is None else self.discount

    def particle_returns(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], plan: Float[Array, "h a"]
    ) -> Float[Array, "p"]:
        """What one plan returns in each particle; minus infinity where anything on the way is not finite."""
        rollout = self.propagator(key, self.model, OpenLoop(plan), obs, plan.shape[0])
        returns, _ = self._outcomes(rollout, self.task.discount)
        return returns

    def worth(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], policy: AbstractPolicy, horizon: int
    ) -> Float[Array, ""]:
        """What a policy is worth over `horizon` steps; minus infinity where a particle is not finite."""
        rollout = self.propagator(key, self.model, policy, obs, horizon)
        returns, lost = self._outcomes(rollout, self.judged_by)
        if self.tail is not None:
            returns = returns + jax.vmap(self._later, in_axes=(0, 0, None))(rollout.obs[:, -1], lost, horizon)
        value = self.risk(returns)
        tie = FALLEN * lost.mean() * jnp.maximum(jnp.abs(value), LEAST)
        ranked = value - jax.lax.stop_gradient(tie)
        return jnp.where(jnp.isfinite(returns).all() & jnp.isfinite(ranked), ranked, -jnp.inf)

    def evaluate(self, key: PRNGKeyArray, obs: Float[Array, "o"], plans: Float[Array, "n h a"]) -> Float[Array, "n"]:
        """What each plan is worth. All meet the same worlds and the same noise.

        A plan with a non-finite particle is worth minus infinity: less than any plan that is finite throughout.
        """
        return spread(self.mesh, _worths, (self, key, obs), plans)

    def _outcomes(self, rollout: Rollout, discount: Float[Array, ""]) -> tuple[Float[Array, "p"], Float[Array, "p"]]:
        return jax.vmap(self._outcome, (0, 0, None))(rollout.actions, rollout.obs, discount)

    def _outcome(
        self, actions: Float[Array, "h a"], obs: Float[Array, "h+1 o"], discount: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The discounted sum of rewards up to and with the step that terminates; and the steps not survived."""
        rewards = jax.vmap(self.task.reward)(obs[:-1], actions, obs[1:])
        over = jnp.cumsum(jax.vmap(self.task.terminated)(obs[1:])) > 0
        alive = jnp.concatenate([jnp.ones(1, bool), ~over[:-1]])
        finite = jnp.all(jnp.where(alive, jnp.isfinite(rewards) & jnp.isfinite(obs[1:]).all(1), True))
        later = jnp.broadcast_to(discount, actions.shape[:1]).at[0].set(1.0)
        discounts = jnp.cumprod(later)  # exact to the last bits, where some backends' powers are not
        returned = jnp.where(finite, jnp.sum(jnp.where(alive, discounts * rewards, 0.0)), -jnp.inf)
        return returned, over.sum().astype(returned.dtype)

    def _later(self, last: Float[Array, "o"], lost: Float[Array, ""], horizon: int) -> Float[Array, ""]:
        """What follows the last observation, discounted; nothing where the task has ended by then."""
        assert self.tail is not None
        return jnp.where(lost > 0, 0.0, self.judged_by**horizon * self.tail(last))


def _worths(shared: tuple[Problem, PRNGKeyArray, Float[Array, "o"]], plans: Float[Array, "n h a"]) -> Float[Array, "n"]:
    problem, key, obs = shared
    return jax.vmap(lambda plan: problem.worth(key, obs, OpenLoop(plan), plan.shape[0]))(plans)
