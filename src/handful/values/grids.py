"""Ranges and cells that suit the built-in tasks."""

from collections.abc import Callable
from dataclasses import dataclass

from handful.errors import InputError
from handful.values.grid import Axis, Grid, turn
from handful.values.linear_features import Tiles


@dataclass(frozen=True)
class Cut:
    """How a task's observations are cut: the axes, made from how many cells each is to have."""

    axes: Callable[..., tuple[Axis, ...]]
    table: tuple[int, ...]  # cells an axis where a table has to tell states apart by them
    tiles: tuple[int, ...]  # where several shifted tilings do
    obs_size: int


def _swing_up(x: int, theta: int, xdot: int, thetadot: int) -> tuple[Axis, ...]:
    return Axis(0, x, -2.5, 2.5), turn(1, theta), Axis(2, xdot, -6.0, 6.0), Axis(3, thetadot, -12.0, 12.0)


# Ranges are the environment's own where it has them; other speeds are those that a good trial hardly ever leaves.
CUTS = {
    "pendulum": Cut(lambda n, m: (turn(0, n), Axis(1, m, -8.0, 8.0)), (21, 21), (12, 12), 2),
    "pendulum-v1": Cut(lambda n, m: (turn((0, 1), n), Axis(2, m, -8.0, 8.0)), (21, 21), (12, 12), 3),
    "cartpole-swingup": Cut(_swing_up, (7, 21, 9, 15), (5, 12, 6, 10), 4),
    "cartpole-swingup-mujoco": Cut(_swing_up, (7, 21, 9, 15), (5, 12, 6, 10), 4),
    "cartpole-v1": Cut(
        lambda n, m, k, j: (
            Axis(0, n, -2.4, 2.4),
            Axis(1, m, -3.0, 3.0),
            Axis(2, k, -0.21, 0.21),
            Axis(3, j, -3.0, 3.0),
        ),
        (6, 6, 12, 12),
        (4, 6, 8, 8),
        4,
    ),
    "acrobot-v1": Cut(
        lambda n, m, k, j: (turn((0, 1), n), turn((2, 3), m), Axis(4, k, -6.0, 6.0), Axis(5, j, -10.0, 10.0)),
        (12, 12, 10, 10),
        (6, 6, 6, 6),
        6,
    ),
    "mountain-car-continuous-v0": Cut(
        lambda n, m: (Axis(0, n, -1.2, 0.6), Axis(1, m, -0.07, 0.07)), (31, 31), (8, 8), 2
    ),
    "point-mass": Cut(
        lambda *cells: tuple(Axis(entry, number, -3.0, 3.0) for entry, number in enumerate(cells)),
        (9, 9, 9, 9),
        (5, 5, 5, 5),
        4,
    ),
}


def grid_of(task: str) -> Grid:
    """The grid of a built-in task, for a table. Raises `InputError` where there is none."""
    cut = _cut(task)
    return Grid(cut.axes(*cut.table), cut.obs_size)


def tiles_of(task: str) -> Tiles:
    """Eight tilings of a built-in task's observations. Raises `InputError` where there are none."""
    cut = _cut(task)
    return Tiles(Grid(cut.axes(*cut.tiles), cut.obs_size))


def _cut(task: str) -> Cut:
    if task not in CUTS:
        raise InputError(
            f"there is a grid for {', '.join(sorted(CUTS))}, got {task}; take a method with nets, such as dqn or ppo, "
            "or in Python a Grid with the ranges of the entries, or one that Grid.covering fits to recorded data"
        )
    return CUTS[task]
