"""Where planner and belief meet: what is a plan worth?"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.planning.spread import spread
from handful.policies.simple import OpenLoop
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import AbstractRisk, Mean
from handful.task import Task
from handful.types import Rollout


class Problem(eqx.Module):
    """The task to do, the belief to trust, how its uncertainty travels, and how risk is weighed.

    The model's weights are leaves: a planner compiled once plans with every later model.
    """

    task: Task
    model: AbstractDynamics
    propagator: AbstractPropagator
    risk: AbstractRisk = eqx.field(default_factory=Mean)
    mesh: Mesh | None = eqx.field(static=True, default=None)  # devices to spread candidates over

    def rollout(self, key: PRNGKeyArray, obs: Float[Array, "o"], plan: Float[Array, "h a"]) -> Rollout:
        return self.propagator(key, self.model, OpenLoop(plan), obs, plan.shape[0])

    def particle_returns(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], plan: Float[Array, "h a"]
    ) -> Float[Array, "p"]:
        """What one plan returns in each particle; minus infinity where anything on the way is not finite."""
        rollout = self.rollout(key, obs, plan)
        return jax.vmap(self._return)(rollout.actions, rollout.obs)

    def evaluate(self, key: PRNGKeyArray, obs: Float[Array, "o"], plans: Float[Array, "n h a"]) -> Float[Array, "n"]:
        """What each plan is worth. All meet the same worlds and the same noise.

        A plan with a non-finite particle is worth minus infinity: less than any plan that is finite throughout.
        """
        return spread(self.mesh, _worths, (self, key, obs), plans)

    def _return(self, actions: Float[Array, "h a"], obs: Float[Array, "h+1 o"]) -> Float[Array, ""]:
        """The discounted sum of rewards up to and with the step that terminates."""
        rewards = jax.vmap(self.task.reward)(obs[:-1], actions, obs[1:])
        over = jnp.cumsum(jax.vmap(self.task.terminated)(obs[1:]))
        alive = jnp.concatenate([jnp.ones(1, bool), over[:-1] == 0])
        finite = jnp.all(jnp.where(alive, jnp.isfinite(rewards) & jnp.isfinite(obs[1:]).all(1), True))
        discounts = self.task.discount ** jnp.arange(actions.shape[0])
        return jnp.where(finite, jnp.sum(jnp.where(alive, discounts * rewards, 0.0)), -jnp.inf)


def _worths(shared: tuple[Problem, PRNGKeyArray, Float[Array, "o"]], plans: Float[Array, "n h a"]) -> Float[Array, "n"]:
    problem, key, obs = shared

    def worth(plan: Float[Array, "h a"]) -> Float[Array, ""]:
        returns = problem.particle_returns(key, obs, plan)
        value = problem.risk(returns)
        return jnp.where(jnp.isfinite(returns).all() & jnp.isfinite(value), value, -jnp.inf)

    return jax.vmap(worth)(plans)
