"""Where planner and belief meet: what is a plan worth?"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from handful.models.base import AbstractDynamics
from handful.planning.spread import spread
from handful.policies.base import AbstractPolicy
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

    def particle_returns(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], plan: Float[Array, "h a"]
    ) -> Float[Array, "p"]:
        """What one plan returns in each particle; minus infinity where anything on the way is not finite."""
        return self._returns(self.propagator(key, self.model, OpenLoop(plan), obs, plan.shape[0]))

    def worth(
        self, key: PRNGKeyArray, obs: Float[Array, "o"], policy: AbstractPolicy, horizon: int
    ) -> Float[Array, ""]:
        """What a policy is worth over `horizon` steps; minus infinity where a particle is not finite."""
        return self._weighed(self._returns(self.propagator(key, self.model, policy, obs, horizon)))

    def evaluate(self, key: PRNGKeyArray, obs: Float[Array, "o"], plans: Float[Array, "n h a"]) -> Float[Array, "n"]:
        """What each plan is worth. All meet the same worlds and the same noise.

        A plan with a non-finite particle is worth minus infinity: less than any plan that is finite throughout.
        """
        return spread(self.mesh, _worths, (self, key, obs), plans)

    def _returns(self, rollout: Rollout) -> Float[Array, "p"]:
        return jax.vmap(self._return)(rollout.actions, rollout.obs)

    def _weighed(self, returns: Float[Array, "p"]) -> Float[Array, ""]:
        value = self.risk(returns)
        return jnp.where(jnp.isfinite(returns).all() & jnp.isfinite(value), value, -jnp.inf)

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
    return jax.vmap(lambda plan: problem.worth(key, obs, OpenLoop(plan), plan.shape[0]))(plans)
