"""Dyna-Q: what its model remembers, and that planning learns more from the same steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.data.grid import Grid
from handful.errors import InputError
from handful.interaction import train
from handful.types import Batch, Transition
from handful.values.dyna import DynaQ
from handful.values.linear_features import Cells, Tiles
from handful.values.mdp import FiniteMDP
from handful.values.temporal_difference import TemporalDifference
from handful.values.toy_text import MDPEnv

KEY = jax.random.key(3)
SIZE = 6


def corridor():
    """Six states in a row: right or left, 10 for the end on the right, a tenth lost at each step before."""
    following = np.array([[max(s - 1, 0), min(s + 1, SIZE - 1)] for s in range(SIZE)])
    transition = np.eye(SIZE)[following]
    reward, ends = np.full((SIZE, 2), -0.1), np.zeros((SIZE, 2))
    reward[-1, 1], ends[-1, 1] = 10.0, 1.0
    return FiniteMDP.dense(*(jnp.asarray(x, jnp.float32) for x in (transition, reward, ends)), 0.9)


ENV = MDPEnv.of(corridor(), jnp.eye(SIZE)[0], 100)
BEST = [10 * 0.9**k - 0.1 * (1 - 0.9**k) / 0.1 for k in range(SIZE - 1, -1, -1)]  # going right, k steps from the end


def dyna(planning, **settings):
    settings = {
        "discount": 0.9,
        "learning_rate": 0.5,
        "epsilon": 0.2,
        "exploration_steps": 0,
        "initial_value": 11.0,
        "num_envs": 1,
    } | settings
    return DynaQ(TemporalDifference(Cells(Grid.of_states(SIZE)), **settings), planning_steps=planning)


learned = eqx.filter_jit(lambda key, one: train(key, ENV, one, 60)[0])


def test_after_sixty_steps_planning_has_found_what_acting_has_not():
    """The worth of going right by hand. Over 20 keys acting alone was 1.8 to 2.5 away from it, planning 1e-6."""
    off = {}
    for planning in (0, 40):
        q = np.asarray(learned(KEY, dyna(planning)).td.values.weights)
        off[planning] = np.abs(q[:, 1] - BEST).max()
    assert off[40] < 0.01
    assert off[0] > 1.0


def test_the_model_holds_what_was_seen_last_and_nothing_that_is_not_finite():
    seen = [(2, 1, -0.1, 3, False), (2, 1, -0.7, 4, False), (5, 1, 10.0, 6, True), (1, 0, np.nan, 0, False)]
    state, choice, reward, after, over = (np.array(column) for column in zip(*seen, strict=True))
    number = lambda column: jnp.asarray(column, jnp.float32)[:, None, None]
    rows = Transition(
        number(state), jnp.eye(2)[choice][:, None], number(reward)[..., 0], number(after), jnp.asarray(over)[:, None],
        jnp.zeros((4, 1), bool),
    )  # fmt: skip
    met = Batch(rows, jnp.ones((4, 1), bool))
    one = dyna(60, num_steps=4)
    done, metrics = jax.jit(lambda state: one.update(KEY, ENV.task, state, met))(one.init(KEY, ENV.task))
    model = done.table
    assert float(metrics["pairs"]) == 2
    assert model.pairs[:2].tolist() == [5, 11]
    assert model.visited.sum() == 2
    assert model.next_cell[2, 1] == 4
    np.testing.assert_allclose([model.reward[2, 1], model.reward[5, 1]], [-0.7, 10.0], rtol=1e-6)
    assert bool(model.terminated[5, 1])
    q = np.asarray(done.td.values.weights)  # 240 repeats of two pairs: 1e-30 of the first error is left
    np.testing.assert_allclose([q[5, 1], q[2, 1]], [10.0, -0.7 + 0.9 * 11.0], rtol=1e-5)
    untouched = np.ones((SIZE, 2), bool)
    untouched[[2, 5], 1] = False
    assert (q[untouched] == 11.0).all()


def test_a_model_of_anything_but_cells_is_refused():
    with pytest.raises(InputError, match="features must be Cells, got Tiles"):
        DynaQ(TemporalDifference(Tiles(Grid.of_states(SIZE))))
