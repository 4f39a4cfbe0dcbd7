"""Temporal differences: learn a worth from the worth of what comes next, step by step."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.fields import Real, Whole, check_within, real, whole
from handful.policies.choices import Choices, EpsilonGreedy
from handful.policies.learner import AbstractPolicyLearner, Logged
from handful.task import Task
from handful.types import Transition
from handful.values.linear_features import AbstractFeatures, Active, corrected, worth
from handful.values.replay import Memory


class AbstractRule(eqx.Module):
    """What the next observation counts for, of the worths of its choices."""

    waits: eqx.AbstractClassVar[bool]  # for the choice that is really made there, unless the trial ends first

    @abstractmethod
    def __call__(self, q: Float[Array, "c"], epsilon: Float[Array, ""]) -> Float[Array, ""]:
        """Its worth before the next choice is known."""


class QLearning(AbstractRule):
    """That of the best choice, whatever is done: the worth of the greedy policy is learned while exploring."""

    waits = False

    def __call__(self, q: Float[Array, "c"], epsilon: Float[Array, ""]) -> Float[Array, ""]:
        return q.max()


class ExpectedSarsa(AbstractRule):
    """The mean over the choices that the epsilon-greedy actor may make."""

    waits = False

    def __call__(self, q: Float[Array, "c"], epsilon: Float[Array, ""]) -> Float[Array, ""]:
        return (1 - epsilon) * q.max() + epsilon * q.mean()


class Sarsa(AbstractRule):
    """That of the choice really made next. Where time runs out none is made, and the actor's mean stands in for it."""

    waits = True

    def __call__(self, q: Float[Array, "c"], epsilon: Float[Array, ""]) -> Float[Array, ""]:
        return (1 - epsilon) * q.max() + epsilon * q.mean()


class Linear(eqx.Module):
    """Worths of choices that are linear in features."""

    weights: Float[Array, "f c"]
    features: AbstractFeatures

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        return worth(self.weights, self.features(obs))


class Waiting(eqx.Module):
    """The last step of each environment, whose next choice is still to come."""

    met: Memory  # leading axis n
    live: Bool[Array, "n"]


class TDState(eqx.Module):
    """Everything that goes on from one update to the next."""

    values: Linear
    choices: Choices
    waiting: Waiting
    steps: Int[Array, ""]  # of interaction so far


class TemporalDifference(AbstractPolicyLearner):
    """Q-learning, SARSA and expected SARSA, by table or linear in other features, one step after another.

        error = reward + discount (1 - terminated) worth of next_obs - q(obs, choice)
        weights of choice += rate error phi(obs) / |phi(obs)|^2

    The rule says what `next_obs` is worth. A trial that runs out of time counts on. `rate` is the share of the error
    that one step takes away, falling as `1 / (1 + steps / slowing)`; epsilon falls from 1 to `epsilon` in
    `exploration_steps`. A correction that is not finite is skipped.

    >>> from handful.envs.pendulum import Pendulum
    >>> from handful.values.grids import tiles_of
    >>> learner = TemporalDifference(tiles_of("pendulum"), Sarsa(), bins_per_dim=3)
    >>> state = learner.init(jax.random.key(0), Pendulum().task)
    >>> state.values(jnp.ones(2)).tolist(), float(learner.actor(state).epsilon)
    ([0.0, 0.0, 0.0], 1.0)

    Raises `InputError` where the features are of another observation.

    Source: [Sutton18] sections 6.4 to 6.6, 9.3 and 10.1. Deviates: the step is normalised, so that a rate means the
    same for a table, tiles and cosines; several environments are learned from in turn within an update.
    """

    features: AbstractFeatures
    rule: AbstractRule = eqx.field(default_factory=QLearning)
    envs: int = eqx.field(static=True, default=8)
    length: int = eqx.field(static=True, default=1)
    bins_per_dim: int | None = eqx.field(static=True, default=None)  # values to choose from in each continuous entry
    discount: Real = real(0.98)
    rate: Real = real(0.2)
    slowing: Real = real(jnp.inf)  # [steps] after which the rate has halved
    initial: Real = real(0.0)  # worth of everything at the start; more than can be had makes for exploring
    epsilon: Real = real(0.05)
    exploration_steps: Whole = whole(20_000)

    def __check_init__(self) -> None:
        _check(self)

    def init(self, key: PRNGKeyArray, task: Task) -> TDState:
        """Raises `InputError` where actions are continuous and `bins_per_dim` is not given."""
        self.features.check(task)
        choices = Choices.of(task, self.bins_per_dim)
        weights = jnp.broadcast_to(self.features.constant(self.initial)[:, None], (self.features.count, choices.count))
        obs, none = jnp.zeros((self.envs, task.obs_size)), jnp.zeros(self.envs)
        nothing = Memory(obs, none.astype(int), none, obs, none.astype(bool))
        waiting = Waiting(nothing, jnp.zeros(self.envs, bool))
        return TDState(Linear(weights, self.features), choices, waiting, jnp.zeros((), int))

    def actor(self, state: TDState) -> EpsilonGreedy:
        share = state.steps / jnp.maximum(self.exploration_steps, 1)
        gone = jnp.where(self.exploration_steps > 0, jnp.minimum(share, 1.0), 1.0)
        return EpsilonGreedy(state.values, state.choices, 1.0 + gone * (self.epsilon - 1.0))

    def policy(self, state: TDState) -> EpsilonGreedy:
        return EpsilonGreedy(state.values, state.choices)

    def update(self, key: PRNGKeyArray, state: TDState, batch: Transition) -> tuple[TDState, Logged]:
        epsilon, rate = self.actor(state).epsilon, slowed(self.rate, self.slowing, state.steps)
        rows = Memory.of(batch)
        over = (batch.terminated | batch.truncated).reshape(-1)
        env = jnp.arange(over.size) % self.envs

        def step(carry: tuple, met: tuple) -> tuple[tuple, tuple]:
            weights, waiting = carry
            row, over, finite, env = met
            told = []
            if self.rule.waits:
                before = jax.tree.map(lambda leaf: leaf[env], waiting.met)
                follows = worth(weights, self.features(before.next_obs))[row.choice]
                weights, heard = self.learned(weights, rate, before, follows, waiting.live[env])
                told.append(heard)
            follows = self.rule(worth(weights, self.features(row.next_obs)), epsilon)
            now = finite & (over | (not self.rule.waits))
            weights, heard = self.learned(weights, rate, row, jnp.where(row.terminated, 0.0, follows), now)
            if self.rule.waits:
                kept = jax.tree.map(lambda old, new: old.at[env].set(new), waiting.met, row)
                waiting = Waiting(kept, waiting.live.at[env].set(finite & ~over))
            return (weights, waiting), tuple(jnp.stack(each) for each in zip(*told, heard, strict=True))

        carry = state.values.weights, state.waiting
        (weights, waiting), (errors, used) = jax.lax.scan(step, carry, (rows, over, rows.finite(), env))
        values = eqx.tree_at(lambda v: v.weights, state.values, weights)
        size = jnp.sqrt(jnp.sum(errors**2) / jnp.maximum(used.sum(), 1))
        told = {"td_error": size, "epsilon": epsilon, "rate": rate}
        return TDState(values, state.choices, waiting, state.steps + over.size), told

    def on_reset(self, state: TDState) -> TDState:
        """Steps that wait for a choice are learned from as where time runs out."""
        epsilon, rate = self.actor(state).epsilon, slowed(self.rate, self.slowing, state.steps)

        def close(weights: Float[Array, "f c"], waiting: Waiting) -> tuple[Float[Array, "f c"], None]:
            follows = self.rule(worth(weights, self.features(waiting.met.next_obs)), epsilon)
            return self.learned(weights, rate, waiting.met, follows, waiting.live)[0], None

        weights, _ = jax.lax.scan(close, state.values.weights, state.waiting)
        left = (weights, jnp.zeros_like(state.waiting.live))
        return eqx.tree_at(lambda s: (s.values.weights, s.waiting.live), state, left)

    def learned(
        self,
        weights: Float[Array, "f c"],
        rate: Float[Array, ""],
        met: Memory,
        follows: Float[Array, ""],
        counts: Bool[Array, ""],
    ) -> tuple[Float[Array, "f c"], tuple[Float[Array, ""], Bool[Array, ""]]]:
        """After one step of interaction whose next observation is worth `follows`; with the error, if it `counts`."""
        active = self.features(met.obs)
        error = met.reward + self.discount * follows - worth(weights, active)[met.choice]
        used = counts & jnp.isfinite(error)
        error = jnp.where(used, error, 0.0)
        return corrected(weights, active, met.choice, rate * error), (error, used)


class Prediction(eqx.Module):
    """What `TD0` has learned so far."""

    weights: Float[Array, "f 1"]
    features: AbstractFeatures
    steps: Int[Array, ""]

    def value(self, obs: Float[Array, "o"]) -> Float[Array, ""]:
        """The worth of an observation."""
        return worth(self.weights, self.features(obs))[0]


class TD0(AbstractPolicyLearner):
    """Learns the worth of a policy that stays as it is.

        v(obs) += rate (reward + discount (1 - terminated) v(next_obs) - v(obs))

    The rate is as in `TemporalDifference`.

    Source: [Sutton18] sections 6.1 and 9.4. Deviates: as `TemporalDifference`.
    """

    followed: Any  # an AbstractActor
    features: AbstractFeatures
    envs: int = eqx.field(static=True, default=1)
    length: int = eqx.field(static=True, default=1)
    discount: Real = real(0.99)
    rate: Real = real(0.1)
    slowing: Real = real(jnp.inf)

    def __check_init__(self) -> None:
        _check(self)

    def init(self, key: PRNGKeyArray, task: Task) -> Prediction:
        self.features.check(task)
        return Prediction(jnp.zeros((self.features.count, 1)), self.features, jnp.zeros((), int))

    def actor(self, state: Prediction) -> Any:
        return self.followed

    def policy(self, state: Prediction) -> Any:
        return self.followed

    def update(self, key: PRNGKeyArray, state: Prediction, batch: Transition) -> tuple[Prediction, Logged]:
        rate, rows, first = slowed(self.rate, self.slowing, state.steps), Memory.of(batch), jnp.zeros((), int)

        def step(weights: Float[Array, "f 1"], row: Memory) -> tuple[Float[Array, "f 1"], Float[Array, ""]]:
            active: Active = self.features(row.obs)
            follows = jnp.where(row.terminated, 0.0, worth(weights, self.features(row.next_obs))[0])
            error = row.reward + self.discount * follows - worth(weights, active)[0]
            error = jnp.where(jnp.isfinite(error), error, 0.0)
            return corrected(weights, active, first, rate * error), error

        weights, errors = jax.lax.scan(step, state.weights, rows)
        told = {"td_error": jnp.sqrt(jnp.mean(errors**2)), "rate": rate}
        return Prediction(weights, self.features, state.steps + rows.reward.size), told


def slowed(rate: Float[Array, ""], slowing: Float[Array, ""], steps: Int[Array, ""]) -> Float[Array, ""]:
    """The rate after `steps`."""
    return rate / (1 + steps / slowing)


def _check(learner: "TemporalDifference | TD0") -> None:
    for name in ("envs", "length"):
        check_within(learner, name, 1.0)
    check_within(learner, "discount", 0.0, 1.0)
    check_within(learner, "slowing", 0.0, least_excluded=True)
