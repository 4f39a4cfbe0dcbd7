"""The cuts of built-in tasks."""

import pytest

from handful.envs.registry import TASKS
from handful.errors import InputError
from handful.values.grids import CUTS, grid_of, tiles_of


def test_they_are_of_the_tasks_own_observations():
    for name in set(CUTS) - {"cartpole-swingup-mujoco"}:
        task = TASKS[name].load().task
        grid_of(name).check(task)
        tiles_of(name).check(task)
        angles = {axis.entry for axis in grid_of(name).axes if axis.round and isinstance(axis.entry, int)}
        assert angles == set(task.angles)


def test_a_task_without_a_grid():
    for made in (grid_of, tiles_of):
        with pytest.raises(
            InputError, match=r"there is a grid for acrobot-v1, .* got reacher-7dof; take a method with nets"
        ):
            made("reacher-7dof")


def test_every_grid_has_the_name_of_a_built_in_task():
    assert sorted(set(CUTS) - set(TASKS)) == []
