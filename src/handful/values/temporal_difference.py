"""Temporal-difference learning with values that are linear in features: Q-learning, SARSA, expected SARSA, TD(0)."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.agent import AbstractAgent, Metrics
from handful.fields import Real, Whole, check_finite, check_within, real, whole
from handful.policies.discrete_actions import DiscreteActions, EpsilonGreedy
from handful.task import Task
from handful.types import Batch
from handful.values.linear_features import AbstractFeatures, add_to_value, linear_values
from handful.values.transitions import DiscreteTransition


class AbstractRule(eqx.Module):
    """The value of the next observation in a TD target."""

    needs_next_action: eqx.AbstractClassVar[bool]  # the target uses the action taken next, unless the episode ends

    @abstractmethod
    def __call__(self, q: Float[Array, "c"], epsilon: Float[Array, ""]) -> Float[Array, ""]:
        """The value, given those of the actions, if the next action is not known or not needed."""


class QLearning(AbstractRule):
    """The greatest action value: the greedy policy is learned off-policy."""

    needs_next_action = False

    def __call__(self, q: Float[Array, "c"], epsilon: Float[Array, ""]) -> Float[Array, ""]:
        return q.max()


class ExpectedSarsa(AbstractRule):
    """The mean over the actions of the epsilon-greedy actor."""

    needs_next_action = False

    def __call__(self, q: Float[Array, "c"], epsilon: Float[Array, ""]) -> Float[Array, ""]:
        return (1 - epsilon) * q.max() + epsilon * q.mean()


class Sarsa(AbstractRule):
    """The value of the action taken next; after a truncated step, where there is none, that of expected SARSA."""

    needs_next_action = True

    def __call__(self, q: Float[Array, "c"], epsilon: Float[Array, ""]) -> Float[Array, ""]:
        return (1 - epsilon) * q.max() + epsilon * q.mean()


class LinearQ(eqx.Module):
    """Action values that are linear in features."""

    weights: Float[Array, "f c"]
    features: AbstractFeatures

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        return linear_values(self.weights, self.features(obs))


class Pending(eqx.Module):
    """The last transition of each environment, if it still waits for the next action."""

    rows: DiscreteTransition  # leading axis n
    live: Bool[Array, "n"]


class TDState(eqx.Module):
    """Everything that is carried from one update to the next."""

    values: LinearQ
    actions: DiscreteActions
    pending: Pending
    steps: Int[Array, ""]  # of interaction so far


class TemporalDifference(AbstractAgent):
    """Q-learning, SARSA and expected SARSA on a table or other linear features, one transition after another.

        error = reward + discount (1 - terminated) V(next_obs) - Q(obs, action)
        weights of action += learning_rate error phi(obs) / |phi(obs)|^2

    `rule` gives `V(next_obs)`; truncation bootstraps. The learning rate is the fraction of the error that one step
    removes, and decays as `1 / (1 + steps / lr_halving_steps)`. Epsilon falls linearly from 1 to `epsilon` in
    `exploration_steps`. Rows that are not finite are skipped. Its metrics: `td_error` (root mean square), `epsilon` and
    `learning_rate`.

    >>> from handful.envs.pendulum import Pendulum
    >>> from handful.envs.registry import info_of
    >>> from handful.values.linear_features import Tiles
    >>> tiles, task = Tiles(info_of("pendulum").tile_grid()), Pendulum().task
    >>> agent = TemporalDifference(tiles, Sarsa(), bins_per_dim=3)
    >>> state = agent.init(jax.random.key(0), task)
    >>> state.values(jnp.ones(2)).tolist(), float(agent.actor(task, state).epsilon)
    ([0.0, 0.0, 0.0], 1.0)

    Raises `InputError` if the features are for observations of another size.

    Source: [Sutton18] sections 6.4 to 6.6, 9.3 and 10.1. Deviates: the step is divided by `|phi|^2`, so that a learning
    rate means the same for a table, tiles and cosines; an update visits several environments in turn.
    """

    features: AbstractFeatures
    rule: AbstractRule = eqx.field(default_factory=QLearning)
    num_envs: int = eqx.field(static=True, default=8)
    num_steps: int = eqx.field(static=True, default=1)
    bins_per_dim: int | None = eqx.field(static=True, default=None)  # values per dimension of continuous actions
    discount: Real = real(0.98)
    learning_rate: Real = real(0.2)
    lr_halving_steps: Real = real(jnp.inf)  # [steps] after which the learning rate has halved; inf: constant
    initial_value: Real = real(0.0)  # of every action; above the greatest return it is optimism, which explores
    epsilon: Real = real(0.05)
    exploration_steps: Whole = whole(20_000)

    def __check_init__(self) -> None:
        _check(self)
        check_within(self, "epsilon", 0.0, 1.0)
        check_within(self, "exploration_steps", 0.0)
        check_finite(self, "initial_value")

    def init(self, key: PRNGKeyArray, task: Task) -> TDState:
        """Raises `InputError` if the actions are continuous and `bins_per_dim` is not given."""
        self.features.check(task)
        actions = DiscreteActions.of(task, self.bins_per_dim)
        weights = self.features.weights(self.initial_value, actions.count)
        rows = DiscreteTransition.zeros(task.obs_size, (self.num_envs,))
        pending = Pending(rows, jnp.zeros(self.num_envs, bool))
        return TDState(LinearQ(weights, self.features), actions, pending, jnp.zeros((), int))

    def actor(self, task: Task, state: TDState) -> EpsilonGreedy:
        return EpsilonGreedy(state.values, state.actions, self._epsilon(state))

    def policy(self, task: Task, state: TDState) -> EpsilonGreedy:
        return EpsilonGreedy(state.values, state.actions)

    def update(self, key: PRNGKeyArray, task: Task, state: TDState, batch: Batch) -> tuple[TDState, Metrics]:
        epsilon, rate = self._epsilon(state), decayed(self.learning_rate, self.lr_halving_steps, state.steps)
        rows, usable = DiscreteTransition.of(batch)
        over = (batch.transitions.terminated | batch.transitions.truncated).reshape(-1)
        env = jnp.arange(over.size) % self.num_envs

        def step(carry: tuple, now: tuple) -> tuple[tuple, tuple]:
            weights, pending = carry
            row, over, usable, env = now
            outcomes = []
            if self.rule.needs_next_action:
                before = jax.tree.map(lambda leaf: leaf[env], pending.rows)
                next_value = linear_values(weights, self.features(before.next_obs))[row.action]
                weights, outcome = self.td_step(weights, rate, before, next_value, pending.live[env])
                outcomes.append(outcome)
            next_value = self.rule(linear_values(weights, self.features(row.next_obs)), epsilon)
            next_value = jnp.where(row.terminated, 0.0, next_value)
            ready = usable & (over | (not self.rule.needs_next_action))
            weights, outcome = self.td_step(weights, rate, row, next_value, ready)
            if self.rule.needs_next_action:
                kept = jax.tree.map(lambda old, new: old.at[env].set(new), pending.rows, row)
                pending = Pending(kept, pending.live.at[env].set(usable & ~over))
            return (weights, pending), tuple(jnp.stack(each) for each in zip(*outcomes, outcome, strict=True))

        carry = state.values.weights, state.pending
        (weights, pending), (errors, used) = jax.lax.scan(step, carry, (rows, over, usable, env))
        values = eqx.tree_at(lambda v: v.weights, state.values, weights)
        td_error = jnp.sqrt(jnp.sum(errors**2) / jnp.maximum(used.sum(), 1))
        metrics = {"td_error": td_error, "epsilon": epsilon, "learning_rate": rate}
        return TDState(values, state.actions, pending, state.steps + over.size), metrics

    def on_reset(self, state: TDState) -> TDState:
        """Pending transitions are learned from as if their step had been truncated."""
        epsilon, rate = self._epsilon(state), decayed(self.learning_rate, self.lr_halving_steps, state.steps)

        def close(weights: Float[Array, "f c"], pending: Pending) -> tuple[Float[Array, "f c"], None]:
            next_value = self.rule(linear_values(weights, self.features(pending.rows.next_obs)), epsilon)
            return self.td_step(weights, rate, pending.rows, next_value, pending.live)[0], None

        weights, _ = jax.lax.scan(close, state.values.weights, state.pending)
        closed = (weights, jnp.zeros_like(state.pending.live))
        return eqx.tree_at(lambda s: (s.values.weights, s.pending.live), state, closed)

    def td_step(
        self,
        weights: Float[Array, "f c"],
        rate: Float[Array, ""],
        row: DiscreteTransition,
        next_value: Float[Array, ""],
        usable: Bool[Array, ""],
    ) -> tuple[Float[Array, "f c"], tuple[Float[Array, ""], Bool[Array, ""]]]:
        """The weights after one transition; the TD error (0 if not used); whether it was usable and finite."""
        active = self.features(row.obs)
        error = row.reward + self.discount * next_value - linear_values(weights, active)[row.action]
        used = usable & jnp.isfinite(error)
        return add_to_value(weights, active, row.action, rate * error, used), (jnp.where(used, error, 0.0), used)

    def _epsilon(self, state: TDState) -> Float[Array, ""]:
        share = state.steps / jnp.maximum(self.exploration_steps, 1)
        progress = jnp.where(self.exploration_steps > 0, jnp.minimum(share, 1.0), 1.0)
        return 1.0 + progress * (self.epsilon - 1.0)


class TD0State(eqx.Module):
    """What `TD0` has learned so far."""

    weights: Float[Array, "f 1"]
    features: AbstractFeatures
    steps: Int[Array, ""]

    def value(self, obs: Float[Array, "o"]) -> Float[Array, ""]:
        """The value of an observation."""
        return linear_values(self.weights, self.features(obs))[0]


class TD0(AbstractAgent):
    """Learns the value of a fixed policy.

        v(obs) += learning_rate (reward + discount (1 - terminated) v(next_obs) - v(obs))

    The learning rate decays as in `TemporalDifference`. Its metrics: `td_error` (root mean square) and
    `learning_rate`.

    Source: [Sutton18] sections 6.1 and 9.4. Deviates: as `TemporalDifference`.
    """

    followed: Any  # the policy, an AbstractActor
    features: AbstractFeatures
    num_envs: int = eqx.field(static=True, default=1)
    num_steps: int = eqx.field(static=True, default=1)
    discount: Real = real(0.99)
    learning_rate: Real = real(0.1)
    lr_halving_steps: Real = real(jnp.inf)

    def __check_init__(self) -> None:
        _check(self)

    def init(self, key: PRNGKeyArray, task: Task) -> TD0State:
        self.features.check(task)
        return TD0State(jnp.zeros((self.features.count, 1)), self.features, jnp.zeros((), int))

    def policy(self, task: Task, state: TD0State) -> Any:
        return self.followed

    def update(self, key: PRNGKeyArray, task: Task, state: TD0State, batch: Batch) -> tuple[TD0State, Metrics]:
        rate, first = decayed(self.learning_rate, self.lr_halving_steps, state.steps), jnp.zeros((), int)
        rows, usable = DiscreteTransition.of(batch)

        def step(weights: Float[Array, "f 1"], now: tuple) -> tuple[Float[Array, "f 1"], tuple[Array, Array]]:
            row, usable = now
            active = self.features(row.obs)
            next_value = linear_values(weights, self.features(row.next_obs))[0]
            next_value = jnp.where(row.terminated, 0.0, next_value)
            error = row.reward + self.discount * next_value - linear_values(weights, active)[0]
            used = usable & jnp.isfinite(error)
            return add_to_value(weights, active, first, rate * error, used), (jnp.where(used, error, 0.0), used)

        weights, (errors, used) = jax.lax.scan(step, state.weights, (rows, usable))
        td_error = jnp.sqrt(jnp.sum(errors**2) / jnp.maximum(used.sum(), 1))
        metrics = {"td_error": td_error, "learning_rate": rate}
        return TD0State(weights, self.features, state.steps + rows.reward.size), metrics


def decayed(
    learning_rate: Float[Array, ""], halving_steps: Float[Array, ""], steps: Int[Array, ""]
) -> Float[Array, ""]:
    """The learning rate after `steps` steps of interaction."""
    return learning_rate / (1 + steps / halving_steps)


def _check(agent: "TemporalDifference | TD0") -> None:
    for name in ("num_envs", "num_steps"):
        check_within(agent, name, 1.0)
    check_within(agent, "discount", 0.0, 1.0)
    check_within(agent, "learning_rate", 0.0)
    check_within(agent, "learning_rate", 0.0, 1.0)  # a share of the error
    check_within(agent, "lr_halving_steps", 0.0, least_excluded=True)
