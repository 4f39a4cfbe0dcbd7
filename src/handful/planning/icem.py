"""iCEM: the cross-entropy method with coloured noise and a memory of its elites."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Real, real
from handful.planning.base import AbstractPlanner, Info, check_sizes, elites_of, middle, moments, moved_on
from handful.planning.noise import coloured
from handful.planning.problem import Problem


class ICEMState(eqx.Module):
    """A Gaussian over plans, and the plans worth trying again."""

    mean: Float[Array, "h a"]
    std: Float[Array, "h a"]
    kept: Float[Array, "k h a"]  # elites of the iteration before, moved on at each control step
    usable: Bool[Array, "k"]  # which of them are real and finite
    best: Float[Array, "h a"]  # the best candidate of the last iteration


class ICEM(AbstractPlanner):
    """CEM whose samples are correlated in time, whose best plans come back, and whose population shrinks.

    Noise has the spectrum `f^-colour`; samples are clipped to the action limits. The `keep` best
    join the next iteration's candidates, and the next control step's. Iteration i has `candidates * decay^-i` of them,
    never fewer than twice the elites.

    Source: [Pinneri20]. Deviates: the mean of the elites is followed, not the best candidate, since the best of many
    exploits the errors of a learned model (`follow_best` says otherwise);
    the mean joins the candidates of each iteration, not of the last alone; kept elites count within the population.
    """

    horizon: int = eqx.field(static=True, default=25)
    candidates: int = eqx.field(static=True, default=100)
    elites: int = eqx.field(static=True, default=10)
    iterations: int = eqx.field(static=True, default=3)
    keep: int = eqx.field(static=True, default=3)
    decay: float = eqx.field(static=True, default=1.25)
    follow_best: bool = eqx.field(static=True, default=False)
    colour: Real = real(2.0)  # 0 white, 1 pink, 2 red
    std: Real = real(0.5)  # of the first samples, in half-ranges
    smoothing: Real = real(0.1)

    def __check_init__(self) -> None:
        check_sizes(self, self.candidates - self.keep - 1, self.elites)
        if not 0 <= self.keep <= self.elites:
            raise InputError(f"keep must be between 0 and the {self.elites} elites, got {self.keep}")

    def stages(self) -> tuple[tuple[AbstractPlanner, int], ...]:
        floor = min(2 * self.elites + self.keep + 1, self.candidates)
        sizes = [max(floor, round(self.candidates * self.decay**-i)) for i in range(self.iterations)]
        return tuple((dataclasses.replace(self, candidates=size), sizes.count(size)) for size in dict.fromkeys(sizes))

    def init(self, problem: Problem) -> ICEMState:
        mean = middle(problem.task, self.horizon)
        kept = jnp.broadcast_to(mean, (self.keep, *mean.shape))
        return ICEMState(mean, self._first_std(problem), kept, jnp.zeros(self.keep, bool), mean)

    def improve(
        self, key: PRNGKeyArray, problem: Problem, obs: Float[Array, "o"], state: ICEMState
    ) -> tuple[ICEMState, Info]:
        plan_key, world_key = jax.random.split(key)
        fresh = self.candidates - self.keep - 1
        noise = coloured(plan_key, (fresh, self.horizon, problem.task.action_size), self.colour)
        plans = jnp.clip(state.mean + state.std * noise, problem.task.low, problem.task.high)
        plans = jnp.concatenate([plans, state.mean[None], state.kept])
        seen = problem.evaluate(world_key, obs, plans)
        returns = seen.at[fresh + 1 :].set(jnp.where(state.usable, seen[fresh + 1 :], -jnp.inf))
        elites, finite, info = elites_of(plans, returns, self.elites)
        info = dataclasses.replace(info, finite=jnp.isfinite(seen).mean())
        mean, var = moments(elites, finite)
        old = jnp.where(finite.any(), self.smoothing, 1.0)
        best = jnp.where(finite[0], elites[0], state.best)
        mixed = (old * state.mean + (1 - old) * mean, old * state.std + (1 - old) * jnp.sqrt(var))
        return ICEMState(*mixed, elites[: self.keep], finite[: self.keep], best), info

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
