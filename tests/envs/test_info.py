"""What is declared of tasks: by our own, by Gymnasium's that are known, and by a user's file."""

import dataclasses
import subprocess
import sys

import pytest

from handful.agents.pets_settings import SETTINGS
from handful.envs.info import PolicyPreset, TaskInfo
from handful.envs.known_tasks import KNOWN
from handful.envs.loading import load
from handful.envs.registry import TASKS, info_of
from handful.errors import InputError

WITH_GRID = [name for name in TASKS if info_of(name).grid is not None]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_declares_itself_under_its_own_name(name):
    info = info_of(name)
    assert info.name == name
    assert info.summary
    assert "\n" not in info.summary + info.reference
    assert info.settings in SETTINGS


def test_without_jax_the_names_are_known():
    script = (
        "import sys, handful.envs.registry, handful.envs.info; "
        "print(sorted({'jax', 'gymnasium', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_mujoco_a_task_is_known_but_not_made():
    script = """
import sys
sys.modules["mujoco"] = None
from handful.envs.loading import load
from handful.envs.registry import TASKS, info_of
from handful.errors import InputError
failed = []
for name in TASKS:
    assert info_of(name).summary
    try:
        load(name)
    except InputError as error:
        assert str(error) == "this task needs MuJoCo; install it with: pip install 'handful[mujoco]'", error
        failed.append(name)
print(failed)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(["cartpole-swingup-mujoco", "reacher-7dof", "pusher-7dof", "half-cheetah-pets"])


@pytest.mark.parametrize("name", WITH_GRID)
def test_a_grid_is_of_the_tasks_own_observations(name):
    info, task = info_of(name), info_of(name.removesuffix("-mujoco")).make().task
    for grid in (info.table_grid(), info.tile_grid()):
        grid.check(task)
    assert info.table_grid().shape == info.grid.table
    assert info.tile_grid().shape == info.grid.tiles
    angles = {axis.entry for axis in info.table_grid().axes if axis.round and isinstance(axis.entry, int)}
    assert angles == set(task.angles)


def test_a_task_without_a_grid_is_refused_in_one_sentence():
    assert len(WITH_GRID) >= 8
    for made in (info_of("reacher-7dof").table_grid, info_of("rig.py:Rig").tile_grid):
        with pytest.raises(
            InputError, match=r"no grid is declared for (reacher-7dof|rig.py:Rig); take an agent with networks, such as"
        ):
            made()


def test_gymnasiums_tasks_share_what_is_known_of_our_ports():
    ported, own = info_of("gymnasium:CartPole-v1"), info_of("cartpole-v1")
    assert ported.make().task.names == ("x [m]", "xdot [m/s]", "theta [rad]", "thetadot [rad/s]")
    assert ported.make().env.spec.id == "CartPole-v1"
    assert (ported.name, ported.truth) == ("gymnasium:CartPole-v1", None), "its state is not the port's"
    shared = {"summary", "reference", "solved_return", "settings", "preset", "grid", "tabular", "optimism"}
    for field in shared:
        assert getattr(ported, field) == getattr(own, field)
    assert own.truth is not None


def test_gymnasiums_known_tasks_have_settings_and_presets():
    kinds = {name: info_of(f"gymnasium:{name}").settings for name in KNOWN}
    legs = dict.fromkeys(("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Swimmer-v5"), "legs")
    assert kinds == dict.fromkeys(KNOWN, "light") | {"Pusher-v5": "arm"} | legs
    assert info_of("gymnasium:Swimmer-v5").preset.discount == 0.9999
    balance = info_of("gymnasium:InvertedPendulum-v5").preset
    assert (balance.steps, balance.trpo_batch, balance.falling) == (500_000, 8192, True)
    assert info_of("gymnasium:Reacher-v5").preset == PolicyPreset()


def test_of_an_unknown_task_there_are_the_defaults():
    for name in ("gymnasium:Thing-v0", "rig.py:Rig", "nothing", ""):
        info = info_of(name)
        assert dataclasses.replace(info, make=int) == TaskInfo(name, int, "")


RIG = """
import gymnasium
import numpy as np
from handful.envs.point_mass import PointMass

class Rig(gymnasium.Env):
    action_space = gymnasium.spaces.Box(-1.0, 2.0, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,), np.float64)
    def reset(self, *, seed=None, options=None): return np.zeros(2), {}
    def step(self, action): return np.zeros(2), 1.0, False, False, {}

pure = PointMass()
"""


@pytest.mark.parametrize("member", ["Rig", "pure"])
def test_a_users_file_declares_its_task_once_it_is_loaded(tmp_path, member):
    path = tmp_path / "own_rig_with_info.py"
    path.write_text(
        RIG + "from handful.envs.info import PolicyPreset, TaskInfo\n"
        "INFO = TaskInfo('rig', Rig, 'a rig', solved_return=3.0, settings='arm', preset=PolicyPreset(steps=70))\n"
        "solved_return = 4.0\n"
    )
    name = f"{path}:{member}"
    assert info_of(name).settings == "light", "a name alone runs no file"
    load(name)
    info = info_of(name)
    assert (info.settings, info.solved_return, info.preset.steps) == ("arm", 4.0, 70)
    assert info_of(f"elsewhere/{path.name}:{member}").settings == "light"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("INFO = 3", "rig.py: INFO must be a TaskInfo, got 3"),
        ("solved_return = 'high'", "rig.py: solved_return must be a number, got 'high'"),
        ("solved_return = float('nan')", "rig.py: solved_return must be a number, got nan"),
    ],
)
def test_a_declaration_of_another_kind_is_refused(tmp_path, line, sentence):
    path = tmp_path / "rig.py"
    path.write_text(RIG + line)
    with pytest.raises(InputError, match=sentence):
        load(f"{path}:Rig")
