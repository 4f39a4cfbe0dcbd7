"""Dyna: learn from what happens, and from what a table remembers to have happened."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from handful.errors import InputError
from handful.fields import Whole, whole
from handful.policies.choices import EpsilonGreedy
from handful.policies.learner import AbstractPolicyLearner, Logged
from handful.task import Task
from handful.types import Transition
from handful.values.linear_features import Cells
from handful.values.replay import Memory
from handful.values.temporal_difference import TDState, TemporalDifference, slowed


class LastSeen(eqx.Module):
    """The tabular model: where each choice in each cell led when it was made last, and what that paid.

    The pairs that were met stand in `met` in the order of their first time, so that one of them is drawn at once.
    """

    following: Int[Array, "s c"]  # cell
    reward: Float[Array, "s c"]
    terminated: Bool[Array, "s c"]
    seen: Bool[Array, "s c"]
    met: Int[Array, "s*c"]  # cell * choices + choice
    count: Int[Array, ""]  # of pairs in `met`

    @classmethod
    def empty(cls, cells: int, choices: int) -> "LastSeen":
        none = jnp.zeros((cells, choices))
        no, nowhere = none.astype(bool), none.astype(int)
        return cls(nowhere, none, no, no, jnp.zeros(cells * choices, int), jnp.zeros((), int))

    def noted(
        self,
        cell: Int[Array, ""],
        choice: Int[Array, ""],
        following: Int[Array, ""],
        row: Memory,
        finite: Bool[Array, ""],
    ) -> "LastSeen":
        """The model with one more step of interaction in it, if that is finite."""
        cell = jnp.where(finite, cell, self.seen.shape[0])  # past the end: dropped
        put = lambda table, value: table.at[cell, choice].set(value, mode="drop")  # noqa: E731
        new = finite & ~self.seen.at[cell, choice].get(mode="fill", fill_value=True)
        place = jnp.where(new, self.count, self.met.size)
        return LastSeen(
            put(self.following, following),
            put(self.reward, row.reward),
            put(self.terminated, row.terminated),
            put(self.seen, True),
            self.met.at[place].set(cell * self.seen.shape[1] + choice, mode="drop"),
            self.count + new,
        )


class DynaState(eqx.Module):
    """What was learned, and the model."""

    learned: TDState
    model: LastSeen


class DynaQ(AbstractPolicyLearner):
    """A tabular learner that, after each step, repeats `planning` remembered ones, drawn alike from all pairs met.

    The remembered steps are learned from by the best choice that follows, as in Q-learning.

    >>> from handful.envs.pendulum import Pendulum
    >>> from handful.values.grids import grid_of
    >>> learner = DynaQ(TemporalDifference(Cells(grid_of("pendulum")), bins_per_dim=3), planning=20)
    >>> int(learner.init(jax.random.key(0), Pendulum().task).model.count)
    0

    Raises `InputError` where the learner's features are not cells.

    Source: [Sutton18] section 8.2. Deviates: cells of a grid are not deterministic; the model holds what was seen last.
    """

    learner: TemporalDifference
    planning: Whole = whole(10)  # remembered steps for each one of interaction

    def __check_init__(self) -> None:
        if not isinstance(self.learner.features, Cells):
            raise InputError(
                "the model of Dyna-Q is a table, so its learner's features must be Cells, got "
                f"{type(self.learner.features).__name__}; use Cells, or TemporalDifference alone"
            )

    @property
    def envs(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.learner.envs

    @property
    def length(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.learner.length

    def init(self, key: PRNGKeyArray, task: Task) -> DynaState:
        learned = self.learner.init(key, task)
        return DynaState(learned, LastSeen.empty(*learned.values.weights.shape))

    def on_reset(self, state: DynaState) -> DynaState:
        return DynaState(self.learner.on_reset(state.learned), state.model)

    def actor(self, state: DynaState) -> EpsilonGreedy:
        return self.learner.actor(state.learned)

    def policy(self, state: DynaState) -> EpsilonGreedy:
        return self.learner.policy(state.learned)

    def update(self, key: PRNGKeyArray, state: DynaState, batch: Transition) -> tuple[DynaState, Logged]:
        rate = slowed(self.learner.rate, self.learner.slowing, state.learned.steps)
        learned, told = self.learner.update(key, state.learned, batch)
        rows, cell = Memory.of(batch), self.learner.features.grid.cell

        def note(model: LastSeen, met: tuple[Memory, Bool[Array, ""]]) -> tuple[LastSeen, None]:
            row, finite = met
            return model.noted(cell(row.obs), row.choice, cell(row.next_obs), row, finite), None

        model, _ = jax.lax.scan(note, state.model, (rows, rows.finite()))

        def repeat(index: Int[Array, ""], weights: Float[Array, "s c"]) -> Float[Array, "s c"]:
            drawn = jax.random.randint(jax.random.fold_in(key, index), (), 0, jnp.maximum(model.count, 1))
            at = jnp.divmod(model.met[drawn], weights.shape[1])
            follows = jnp.where(model.terminated[at], 0.0, weights[model.following[at]].max())
            error = model.reward[at] + self.learner.discount * follows - weights[at]
            return weights.at[at].add(jnp.where(model.seen[at], rate * error, 0.0))

        steps = self.planning * rows.reward.size
        weights = jax.lax.fori_loop(0, steps, repeat, learned.values.weights)
        learned = eqx.tree_at(lambda s: s.values.weights, learned, weights)
        return DynaState(learned, model), told | {"pairs": model.count.astype(float)}
