"""Learn a model, improve a policy by gradient inside it, act with the policy: PILCO and its relatives."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.agents.base import AbstractTrialAgent, TrialState
from handful.data.dataset import Dataset
from handful.fields import Real, Whole, check_finite, check_within, maybe_real, real, whole
from handful.models.base import AbstractDynamics, AbstractLearner, FitReport
from handful.planning.problem import Problem
from handful.policies.radial import RadialPolicy
from handful.propagation.base import AbstractPropagator
from handful.propagation.risk import AbstractRisk, Mean
from handful.task import Task


class Ascent(eqx.Module):
    """Adam on a policy's expected return in the model, from initial observations of the recorded trials.

    A gradient that is not finite is skipped; its norm is clipped to `clip`.
    """

    horizon: int = eqx.field(static=True, default=60)  # [steps] of an imagined trial, at most the task's
    starts: int = eqx.field(static=True, default=4)  # imagined trials a gradient
    steps: Whole = whole(300)  # gradients a fit
    rate: Real = real(0.03)  # of Adam, falling to a tenth on the way
    clip: Real = real(1.0)  # greatest norm of a gradient

    def __check_init__(self) -> None:
        for name in ("horizon", "starts"):
            check_within(self, name, 1.0)
        for name in ("steps", "rate"):
            check_within(self, name, 0.0)
        check_within(self, "clip", 0.0, least_excluded=True)
        check_finite(self, "rate")

    def __call__(self, key: PRNGKeyArray, problem: Problem, policy: RadialPolicy, data: Dataset) -> RadialPolicy:
        start_key, roll_key = jax.random.split(key)
        learned = lambda p: (p.centres, p.weights, p.log_scales)
        adam, horizon = optax.scale_by_adam(), min(self.horizon, problem.task.horizon)

        def loss(weights: tuple, key: PRNGKeyArray, obs: Float[Array, "s o"]) -> Float[Array, ""]:
            candidate = eqx.tree_at(learned, policy, weights)
            value = lambda k, o: problem.policy_value(k, o, candidate, horizon)
            return -jax.vmap(value)(jax.random.split(key, self.starts), obs).mean()

        def step(index: Int[Array, ""], carry: tuple) -> tuple:
            weights, optimiser = carry
            obs = _starts(jax.random.fold_in(start_key, index), data, self.starts)
            gradient = jax.grad(loss)(weights, jax.random.fold_in(roll_key, index), obs)
            norm = optax.tree.norm(gradient)
            shortened = jax.tree.map(lambda g: g * jnp.minimum(1.0, self.clip / jnp.maximum(norm, 1e-12)), gradient)
            direction, remembered = adam.update(shortened, optimiser)
            rate = self.rate * (1 - 0.9 * index / self.steps)
            moved = jax.tree.map(lambda w, d: w - rate * d, weights, direction)
            keep = lambda new, old: jnp.where(jnp.isfinite(norm), new, old)
            return jax.tree.map(keep, (moved, remembered), carry)

        weights, _ = jax.lax.fori_loop(0, self.steps, step, (learned(policy), adam.init(learned(policy))))
        return eqx.tree_at(learned, policy, weights)


class SearchState(eqx.Module):
    """States of the model's learner and of the policy, kept from one fit to the next."""

    learner: Any
    policy: RadialPolicy
    fresh: Bool[Array, ""]  # no data have shaped the policy yet


class PolicySearchAgent(AbstractTrialAgent):
    """Any learner x any propagator, and a radial policy improved by gradient through both.

    Source: [Deisenroth11] algorithm 1. Deviates: Adam on sampled imagined trials; the reward is the task's own, met by
    particles instead of integrated in closed form; policy and horizon as stated in `docs/gp.md`.
    """

    learner: AbstractLearner
    propagator: AbstractPropagator
    ascent: Ascent = eqx.field(default_factory=Ascent)
    risk: AbstractRisk = eqx.field(default_factory=Mean)
    size: int = eqx.field(static=True, default=50)  # basis functions of the policy
    first_colour: Real | None = maybe_real()
    num_steps: int | None = eqx.field(static=True, default=None)  # [steps] between fits in a trial; None: one a trial

    def __check_init__(self) -> None:
        check_within(self, "size", 1.0)

    def start(self, key: PRNGKeyArray, task: Task) -> SearchState:
        learner_key, policy_key = jax.random.split(key)
        nothing = jnp.zeros((1, task.obs_size))
        policy = RadialPolicy.covering(policy_key, task, nothing, jnp.zeros(1, bool), self.size)
        return SearchState(self.learner.init(learner_key, task), policy, jnp.ones((), bool))

    def fit(self, key: PRNGKeyArray, task: Task, learned: SearchState, data: Dataset) -> tuple[SearchState, FitReport]:
        learner_key, cover_key, search_key = jax.random.split(key, 3)
        learner, report = self.learner.fit(learner_key, learned.learner, data)
        covering = RadialPolicy.covering(cover_key, task, data.transitions.obs, data.mask(), self.size)
        policy = jax.tree.map(lambda new, old: jnp.where(learned.fresh, new, old), covering, learned.policy)
        problem = Problem(task, self.learner.model(learner), self.propagator, self.risk)
        return SearchState(learner, self.ascent(search_key, problem, policy, data), jnp.zeros((), bool)), report

    def model(self, state: TrialState) -> AbstractDynamics:
        return self.learner.model(state.learned.learner)

    def policy(self, task: Task, state: TrialState) -> RadialPolicy:
        return state.learned.policy


def _starts(key: PRNGKeyArray, data: Dataset, count: int) -> Float[Array, "{count} o"]:
    """Observations that trials began with, drawn with replacement."""
    first = data.mask() & (data.trial != jnp.concatenate([jnp.full(1, -1), data.trial[:-1]]))
    rows = jax.random.categorical(key, jnp.where(first, 0.0, -jnp.inf), shape=(count,))
    return data.transitions.obs[rows]
