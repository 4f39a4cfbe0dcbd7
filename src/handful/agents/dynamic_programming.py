"""Count where each cell of a grid leads, solve the counts by dynamic programming, act greedily."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.agents.base import AbstractTrialAgent, TrialState
from handful.data.dataset import Dataset
from handful.data.grid import Grid
from handful.fields import Real, check_finite, check_within, maybe_real, real
from handful.models.base import FitReport
from handful.policies.discrete_actions import DiscreteActions, EpsilonGreedy
from handful.task import Task
from handful.values.cell_dynamics import CellDynamics
from handful.values.discretise import counted
from handful.values.dynamic_programming import value_iteration
from handful.values.linear_features import Cells
from handful.values.temporal_difference import LinearQ


class DPState(eqx.Module):
    """Values and model of the last fit."""

    q: Float[Array, "s c"]
    model: CellDynamics


class DPAgent(AbstractTrialAgent):
    """A count model of the grid's cells, value iteration in it, and the greedy policy, after each trial.

    An action that was never taken in a cell has the value `unvisited`. If that is more than any policy can reach, as
    the default is where rewards are costs, the policy explores; if it is less, it keeps to what it has tried.

    >>> from handful import Pendulum, learn
    >>> from handful.envs.registry import info_of
    >>> agent = DPAgent(info_of("pendulum").table_grid(), bins_per_dim=3)
    >>> len(learn(Pendulum(), agent, trials=1).returns)
    2

    Source: [Sutton18] sections 4.4 and 8.1; the optimism [Brafman02]. Deviates: one visit makes a pair known; the
    policy is solved for once a trial.
    """

    grid: Grid
    bins_per_dim: int | None = eqx.field(static=True, default=None)  # actions in each continuous entry
    discount: Real = real(0.97)
    unvisited: Real = real(0.0)
    tolerance: Real = real(0.01)  # of a value
    first_colour: Real | None = maybe_real()
    num_steps: int | None = eqx.field(static=True, default=None)  # [steps] between fits in a trial; None: one a trial

    def __check_init__(self) -> None:
        check_within(self, "discount", 0.0, 1.0)
        check_within(self, "tolerance", 0.0, least_excluded=True)
        check_finite(self, "unvisited", "tolerance")

    def start(self, key: PRNGKeyArray, task: Task) -> DPState:
        """Raises `InputError` where continuous actions come without `bins_per_dim`, or the grid is not the task's."""
        self.grid.check(task)
        actions, nothing = DiscreteActions.of(task, self.bins_per_dim), Dataset.empty(task, 1)
        model = CellDynamics.of(task, nothing.transitions, nothing.mask(), self.grid, actions)
        return DPState(jnp.full((self.grid.count, actions.count), self.unvisited), model)

    def fit(self, key: PRNGKeyArray, task: Task, learned: DPState, data: Dataset) -> tuple[DPState, FitReport]:
        rows, mask, actions = data.transitions, data.mask(), learned.model.actions
        mdp = counted(rows, mask, self.grid, actions, discount=self.discount, unvisited=self.unvisited)
        solved = value_iteration(mdp, self.tolerance)
        model = CellDynamics.of(task, rows, mask, self.grid, actions)
        none = jnp.full(1, jnp.nan)
        return DPState(solved.q, model), FitReport(solved.bound[None], none, solved.sweeps, jnp.zeros(1, bool))

    def model(self, state: TrialState) -> CellDynamics:
        return state.learned.model

    def policy(self, task: Task, state: TrialState) -> EpsilonGreedy:
        return EpsilonGreedy(LinearQ(state.learned.q, Cells(self.grid)), state.learned.model.actions)
