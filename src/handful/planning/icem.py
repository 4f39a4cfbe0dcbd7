"""iCEM: the cross-entropy method with coloured noise and a memory of its elites."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, check_finite, check_within, real
from handful.planning.base import (
    AbstractCentredPlanner,
    AbstractPlanner,
    Info,
    a_tenth,
    check_sizes,
    elites_of,
    mean_and_variance,
    middle,
    moved_on,
)
from handful.planning.noise import coloured
from handful.planning.problem import Problem


class ICEMState(eqx.Module):
    """A Gaussian over plans, and plans to evaluate again."""

    mean: Float[Array, "h a"]
    std: Float[Array, "h a"]
    kept: Float[Array, "k h a"]  # elites of the previous iteration, shifted at each control step
    usable: Bool[Array, "k"]  # which of them exist and have a finite value
    best: Float[Array, "h a"]  # the best candidate of the last iteration


class ICEM(AbstractCentredPlanner):
    """CEM with samples that are correlated in time, elites that are kept, and a population that shrinks.

    Noise has the spectrum `f^-colour`; samples are clipped to the action limits. The `keep` best are among the
    candidates of the next iteration, and of the next control step. Iteration i has `candidates * decay^-i` candidates,
    never fewer than twice the elites.

    Source: [Pinneri20]. Deviates: the plan is the mean of the elites, not the best candidate, which exploits errors of
    a learned model, unless `follow_best`; the mean is a candidate in each iteration, not in the last alone; kept elites
    count as candidates.
    """

    horizon: int = eqx.field(static=True, default=25)
    candidates: int = eqx.field(static=True, default=100)
    elites: int | None = eqx.field(static=True, default=None)  # a tenth of the candidates by default
    iterations: int = eqx.field(static=True, default=3)
    keep: int | None = eqx.field(static=True, default=None)  # 3 by default, or all elites if there are fewer
    decay: float = eqx.field(static=True, default=1.25)
    follow_best: bool = eqx.field(static=True, default=False)
    colour: Real = real(2.0)  # 0 white, 1 pink, 2 red
    std: Real = real(0.5)  # [half-ranges] of the first samples
    smoothing: Real = real(0.1)

    def __check_init__(self) -> None:
        if not 0 <= self.keep_count <= self.elite_count:
            raise InputError(f"ICEM needs keep from 0 to the {self.elite_count} elites, got {self.keep_count}")
        fresh = self.candidates - self.keep_count - 1  # beside the kept elites and the mean
        check_sizes(self, self.candidates, self.elite_count, least=self.keep_count + 2, fresh=fresh)
        if not self.decay > 0:
            raise InputError(f"ICEM needs a decay above 0, got {self.decay}")
        for name in ("colour", "std"):
            check_within(self, name, 0.0)
        check_finite(self, "colour", "std", "decay")
        check_within(self, "smoothing", 0.0, 1.0)

    @property
    def elite_count(self) -> int:
        return a_tenth(self.candidates) if self.elites is None else self.elites

    @property
    def keep_count(self) -> int:
        return min(3, self.elite_count) if self.keep is None else self.keep

    def stages(self) -> tuple[tuple[AbstractPlanner, int], ...]:
        floor = min(2 * self.elite_count + self.keep_count + 1, self.candidates)
        sizes = [max(floor, round(self.candidates * self.decay**-i)) for i in range(self.iterations)]
        fixed = dataclasses.replace(self, elites=self.elite_count, keep=self.keep_count)
        return tuple((dataclasses.replace(fixed, candidates=size), sizes.count(size)) for size in dict.fromkeys(sizes))

    def init(self, problem: Problem) -> ICEMState:
        mean = middle(problem.task, self.horizon)
        kept = jnp.broadcast_to(mean, (self.keep_count, *mean.shape))
        return ICEMState(mean, self._first_std(problem), kept, jnp.zeros(self.keep_count, bool), mean)

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: ICEMState
    ) -> tuple[ICEMState, Info]:
        plan_key, world_key = jax.random.split(key)
        fresh = self.candidates - self.keep_count - 1
        noise = coloured(plan_key, (fresh, self.horizon, problem.task.action_size), self.colour)
        plans = jnp.clip(state.mean + state.std * noise, problem.task.low, problem.task.high)
        plans = jnp.concatenate([plans, state.mean[None], state.kept])
        values = problem.evaluate(world_key, obs, plans)
        ranked = values.at[fresh + 1 :].set(jnp.where(state.usable, values[fresh + 1 :], -jnp.inf))
        elites, finite, info = elites_of(plans, ranked, self.elite_count)
        info = dataclasses.replace(info, finite=jnp.isfinite(values).mean())
        mean, var = mean_and_variance(elites, finite)
        old = jnp.where(finite.any(), self.smoothing, 1.0)
        best = jnp.where(finite[0], elites[0], state.best)
        mixed = (old * state.mean + (1 - old) * mean, old * state.std + (1 - old) * jnp.sqrt(var))
        return ICEMState(*mixed, elites[: self.keep_count], finite[: self.keep_count], best), info

    def plan(self, state: ICEMState) -> Float[Array, "h a"]:
        return state.best if self.follow_best else state.mean

    def shift(self, problem: Problem, state: ICEMState) -> ICEMState:
        later = jax.vmap(lambda plan: moved_on(plan, plan[-1]))
        mean = moved_on(state.mean, state.mean[-1])
        return ICEMState(
            mean, self._first_std(problem), later(state.kept), state.usable, moved_on(state.best, state.best[-1])
        )

    def _first_std(self, problem: Problem) -> Float[Array, "h a"]:
        half_range = (problem.task.high - problem.task.low) / 2
        return jnp.broadcast_to(self.std * half_range, (self.horizon, problem.task.action_size))
