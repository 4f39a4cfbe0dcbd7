"""Grids that suit the built-in tasks, cut as coarsely as each can be solved on."""

from handful.errors import InputError
from handful.values.grid import Axis, Grid, turn

# Ranges are the environment's own where it has them; speeds beyond are those that a good trial hardly ever leaves.
GRIDS = {
    "pendulum": lambda: Grid((turn(0, 31), Axis(1, 31, -8.0, 8.0)), 2),
    "pendulum-v1": lambda: Grid((turn((0, 1), 31), Axis(2, 31, -8.0, 8.0)), 3),
    "cartpole-swingup": lambda: Grid(_swing_up(), 4),
    "cartpole-swingup-mujoco": lambda: Grid(_swing_up(), 4),
    "cartpole-v1": lambda: Grid(
        (Axis(0, 6, -2.4, 2.4), Axis(1, 6, -3.0, 3.0), Axis(2, 12, -0.21, 0.21), Axis(3, 12, -3.0, 3.0)), 4
    ),
    "acrobot-v1": lambda: Grid(
        (turn((0, 1), 10), turn((2, 3), 10), Axis(4, 10, -6.0, 6.0), Axis(5, 10, -10.0, 10.0)), 6
    ),
    "mountain-car": lambda: Grid((Axis(0, 31, -1.2, 0.6), Axis(1, 31, -0.07, 0.07)), 2),
    "point-mass": lambda: Grid(tuple(Axis(entry, 9, -3.0, 3.0) for entry in range(4)), 4),
}


def _swing_up() -> tuple[Axis, ...]:
    return Axis(0, 9, -2.5, 2.5), turn(1, 21), Axis(2, 9, -6.0, 6.0), Axis(3, 15, -12.0, 12.0)


def grid_of(task: str) -> Grid:
    """The grid of a built-in task. Raises `InputError` where there is none."""
    if task not in GRIDS:
        raise InputError(
            f"there is a grid for {', '.join(sorted(GRIDS))}, got {task}; give one with the ranges of its entries, or "
            "make one that covers recorded data with Grid.covering"
        )
    return GRIDS[task]()
