"""Dyna-Q: temporal-difference learning from real transitions and from those that a tabular model replays."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.agent import AbstractAgent, Metrics
from handful.errors import InputError
from handful.fields import Whole, check_within, whole
from handful.policies.discrete_actions import EpsilonGreedy
from handful.task import Task
from handful.types import Batch
from handful.values.linear_features import Cells
from handful.values.temporal_difference import TDState, TemporalDifference, decayed
from handful.values.transitions import DiscreteTransition


class LastOutcomes(eqx.Module):
    """The tabular model: the last outcome of each action in each cell.

    `pairs` lists visited pairs in the order of their first visit, so that one of them is drawn at once.
    """

    next_cell: Int[Array, "s c"]
    reward: Float[Array, "s c"]
    terminated: Bool[Array, "s c"]
    visited: Bool[Array, "s c"]
    pairs: Int[Array, "s*c"]  # cell * number of actions + action
    count: Int[Array, ""]  # of visited pairs

    @classmethod
    def empty(cls, cells: int, actions: int) -> "LastOutcomes":
        zero = jnp.zeros((cells, actions))
        false, nowhere = zero.astype(bool), zero.astype(int)
        return cls(nowhere, zero, false, false, jnp.zeros(cells * actions, int), jnp.zeros((), int))

    def add(
        self, cell: Int[Array, ""], next_cell: Int[Array, ""], row: DiscreteTransition, usable: Bool[Array, ""]
    ) -> "LastOutcomes":
        """The model with one more transition, if that is usable."""
        cell = jnp.where(usable, cell, self.visited.shape[0])  # out of range: dropped
        put = lambda table, value: table.at[cell, row.action].set(value, mode="drop")
        new = usable & ~self.visited.at[cell, row.action].get(mode="fill", fill_value=True)
        place = jnp.where(new, self.count, self.pairs.size)
        return LastOutcomes(
            put(self.next_cell, next_cell),
            put(self.reward, row.reward),
            put(self.terminated, row.terminated),
            put(self.visited, True),
            self.pairs.at[place].set(cell * self.visited.shape[1] + row.action, mode="drop"),
            self.count + new,
        )


class DynaState(eqx.Module):
    """The learner's state and the tabular model."""

    td: TDState
    table: LastOutcomes


class DynaQ(AbstractAgent):
    """A tabular learner that takes `planning_steps` simulated steps for each real one.

    They follow each update, so they come together after `num_envs * num_steps` real steps. They are drawn uniformly
    from the visited pairs and learned from by the rule of Q-learning. Its metrics: those of the learner, and the number
    of visited `pairs`.

    >>> from handful.envs.pendulum import Pendulum
    >>> from handful.envs.registry import info_of
    >>> cells = Cells(info_of("pendulum").table_grid())
    >>> agent = DynaQ(TemporalDifference(cells, bins_per_dim=3), planning_steps=20)
    >>> int(agent.init(jax.random.key(0), Pendulum().task).table.count)
    0

    Raises `InputError` if the learner's features are not `Cells`.

    Source: [Sutton18] section 8.2. Deviates: the cells of a grid are not deterministic; the model holds the last
    outcome; planning follows an update of several environments, not each real step.
    """

    learner: TemporalDifference
    planning_steps: Whole = whole(10)  # per real step

    def __check_init__(self) -> None:
        check_within(self, "planning_steps", 0.0)
        if not isinstance(self.learner.features, Cells):
            raise InputError(
                "the model of Dyna-Q is a table, so its learner's features must be Cells, got "
                f"{type(self.learner.features).__name__}; use Cells, or TemporalDifference alone"
            )

    @property
    def num_envs(self) -> int:
        return self.learner.num_envs

    @property
    def num_steps(self) -> int:
        return self.learner.num_steps

    def init(self, key: PRNGKeyArray, task: Task) -> DynaState:
        td = self.learner.init(key, task)
        return DynaState(td, LastOutcomes.empty(*td.values.weights.shape))

    def on_reset(self, state: DynaState) -> DynaState:
        return DynaState(self.learner.on_reset(state.td), state.table)

    def actor(self, task: Task, state: DynaState) -> EpsilonGreedy:
        return self.learner.actor(task, state.td)

    def policy(self, task: Task, state: DynaState) -> EpsilonGreedy:
        return self.learner.policy(task, state.td)

    def update(self, key: PRNGKeyArray, task: Task, state: DynaState, batch: Batch) -> tuple[DynaState, Metrics]:
        rate = decayed(self.learner.learning_rate, self.learner.lr_halving_steps, state.td.steps)
        td, metrics = self.learner.update(key, task, state.td, batch)
        rows, usable = DiscreteTransition.of(batch)
        cell = self.learner.features.grid.cell

        def add(table: LastOutcomes, now: tuple[DiscreteTransition, Bool[Array, ""]]) -> tuple[LastOutcomes, None]:
            row, usable = now
            return table.add(cell(row.obs), cell(row.next_obs), row, usable), None

        table, _ = jax.lax.scan(add, state.table, (rows, usable))

        def simulate(index: Int[Array, ""], weights: Float[Array, "s c"]) -> Float[Array, "s c"]:
            drawn = jax.random.randint(jax.random.fold_in(key, index), (), 0, jnp.maximum(table.count, 1))
            at = jnp.divmod(table.pairs[drawn], weights.shape[1])
            next_value = jnp.where(table.terminated[at], 0.0, weights[table.next_cell[at]].max())
            error = table.reward[at] + self.learner.discount * next_value - weights[at]
            return weights.at[at].add(jnp.where(table.visited[at], rate * error, 0.0))

        steps = self.planning_steps * rows.reward.size
        weights = jax.lax.fori_loop(0, steps, simulate, td.values.weights)
        td = eqx.tree_at(lambda s: s.values.weights, td, weights)
        return DynaState(td, table), metrics | {"pairs": table.count.astype(float)}
