"""The cross-entropy method in the form that PETS uses."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.fields import Real, check_within, real
from handful.planning.base import (
    AbstractCentredPlanner,
    Info,
    a_tenth,
    check_sizes,
    elites_of,
    mean_and_variance,
    middle,
    moved_on,
)
from handful.planning.problem import Problem


class CEMState(eqx.Module):
    """A Gaussian over plans with a diagonal covariance."""

    mean: Float[Array, "h a"]
    var: Float[Array, "h a"]


class CEM(AbstractCentredPlanner):
    """Samples plans from a Gaussian, refits it to the best ones, and repeats; the mean is the plan.

    Samples are truncated at two stds, and the variance is limited so that they stay within the action limits.
    `new = smoothing * old + (1 - smoothing) * elites`, for mean and (biased) variance. The state stays as it is once
    no variance is above `converged`, in squared half-ranges of its action.

    Source: [Chua18] appendix A.3 and the released code. Deviates: after a shift the last action is the middle of the
    limits (zero in all of PETS's tasks); candidates with a non-finite value are never elites; `converged` is relative
    to the limits, and that of the release where they are -1 and 1.
    """

    horizon: int = eqx.field(static=True, default=25)
    candidates: int = eqx.field(static=True, default=400)
    elites: int | None = eqx.field(static=True, default=None)  # a tenth of the candidates by default
    iterations: int = eqx.field(static=True, default=5)
    smoothing: Real = real(0.1)
    converged: Real = real(1e-3)  # [half-ranges^2]

    def __check_init__(self) -> None:
        check_sizes(self, self.candidates, self.elite_count)
        check_within(self, "smoothing", 0.0, 1.0)
        check_within(self, "converged", 0.0)

    @property
    def elite_count(self) -> int:
        return a_tenth(self.candidates) if self.elites is None else self.elites

    def init(self, problem: Problem) -> CEMState:
        task = problem.task
        var = jnp.broadcast_to(((task.high - task.low) / 4) ** 2, (self.horizon, task.action_size))
        return CEMState(middle(task, self.horizon), var)

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: CEMState
    ) -> tuple[CEMState, Info]:
        plan_key, world_key = jax.random.split(key)
        task = problem.task
        room = jnp.minimum(state.mean - task.low, task.high - state.mean) / 2
        std = jnp.sqrt(jnp.minimum(state.var, room**2))
        noise = jax.random.truncated_normal(plan_key, -2.0, 2.0, (self.candidates, *state.mean.shape))
        plans = state.mean + std * noise
        elites, finite, info = elites_of(plans, problem.evaluate(world_key, obs, plans), self.elite_count)
        mean, var = mean_and_variance(elites, finite)
        unsettled = (state.var > self.converged * ((task.high - task.low) / 2) ** 2).any()
        keep = jnp.where(finite.any() & unsettled, self.smoothing, 1.0)
        return CEMState(keep * state.mean + (1 - keep) * mean, keep * state.var + (1 - keep) * var), info

    def plan(self, state: CEMState) -> Float[Array, "h a"]:
        return state.mean

    def shift(self, problem: Problem, state: CEMState) -> CEMState:
        fresh = self.init(problem)
        return CEMState(moved_on(state.mean, fresh.mean[-1]), fresh.var)
