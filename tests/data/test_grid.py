"""Cells of observations, counted by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.data.grid import Axis, Grid, turn
from handful.errors import InputError
from probes import task_of

# Five entries: a place, an angle, the cosine and sine of another; the fifth has no axis.
GRID = Grid((Axis(0, 4, -1.0, 3.0), turn(1, 6), turn((2, 3), 5)), 5)


def by_numpy(obs):
    place = np.clip(np.floor(obs[0] + 1), 0, 3)
    angle = np.floor((obs[1] + np.pi) % (2 * np.pi) / (2 * np.pi) * 6)
    other = np.floor((np.arctan2(obs[3], obs[2]) + np.pi) / (2 * np.pi) * 5)
    return int((place * 6 + angle) * 5 + min(other, 4))


def test_cells_by_numpy_also_beyond_the_ends_and_after_whole_turns():
    obs = np.random.default_rng(4).normal([1.0, 7.0, 0.1, -0.2, 50.0], [2.0, 6.0, 0.7, 0.7, 9.0], (300, 5))
    cells = jax.jit(jax.vmap(GRID.cell))(jnp.asarray(obs, jnp.float32))
    expected = [by_numpy(row) for row in obs.astype(np.float32)]
    np.testing.assert_array_equal(cells, expected)
    assert len(set(expected)) > 90, "most of the 120 cells"


def test_the_middle_of_a_cell_and_every_draw_lie_in_it():
    cells = jnp.arange(GRID.count)

    @jax.jit
    @jax.vmap
    def back(key, cell):
        return GRID.cell(GRID.centre(cell)), GRID.cell(GRID.within(key, cell))

    middle, anywhere = back(jax.random.split(jax.random.key(2), GRID.count), cells)
    np.testing.assert_array_equal(middle, cells)
    np.testing.assert_array_equal(anywhere, cells)


def test_a_grid_over_data():
    task = task_of(lambda obs, action, next_obs: obs[0], 2, [-1.0], [1.0], angles=(1,))
    obs = jnp.array([[0.5, 9.0], [-2.0, 1.0], [4.0, 0.3], [99.0, 0.0]])
    low, high = zip(
        *((axis.low, axis.high) for axis in Grid.covering(task, obs, jnp.arange(4) < 3, 7).axes), strict=True
    )
    np.testing.assert_allclose(low, [-2.0, -np.pi], rtol=1e-6)
    np.testing.assert_allclose(high, [4.0, np.pi], rtol=1e-6)


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ((Axis(0, 3, 0.0, 1.0), turn((0, 1), 4)), "distinct entries below 2"),
        ((Axis(2, 3, 0.0, 1.0),), "distinct entries below 2"),
        ((Axis(1, 0, 0.0, 1.0),), "at least one cell"),
        ((Axis(1, 3, 1.0, 1.0),), "from 1.0 to 1.0"),
        ((Axis(1, 3, 0.0, np.inf),), "finite ends"),
        ((Axis(0, 2000, 0.0, 1.0), Axis(1, 2000, 0.0, 1.0)), "got 4000000"),
    ],
)
def test_axes_that_are_none(axes, says):
    with pytest.raises(InputError, match=says):
        Grid(axes, 2)


def test_a_grid_of_another_task():
    task = task_of(lambda obs, action, next_obs: obs[0], 2, [-1.0], [1.0])
    with pytest.raises(InputError, match="of 5 entries, and those of the task have 2: entry 0, entry 1"):
        GRID.check(task)
