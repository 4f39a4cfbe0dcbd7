"""Learning in one call: what it takes, what it leaves in a folder, what it shows."""

import json

import gymnasium
import numpy as np
import pytest

from handful.agents.mpc_agent import MPCAgent
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.learning import learn, name_of
from handful.models.linear import LinearLearner
from handful.planning.cem import CEM
from handful.propagation.trajectory_sampling import TSInf
from handful.training.run import RunFolder
from nudge import Nudge, Slope, hosted


def agent():
    return MPCAgent(LinearLearner(), CEM(horizon=3, candidates=10, elites=2, iterations=1), TSInf(2))


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    path = tmp_path_factory.mktemp("learn") / "run"
    return learn(PointMass(), agent(), trials=2, seed=3, out=path), path


def test_a_run_in_memory_and_one_in_a_folder_are_the_same(learned):
    done, path = learned
    assert learn("point-mass", agent(), trials=2, seed=3).returns == done.returns
    assert [row.return_ for row in RunFolder(path).rows()] == done.returns
    assert len(done.trials) == 3
    np.testing.assert_array_equal(done.trials[2].arrays["obs"], RunFolder(path).trial(2)["obs"])
    assert done.model is not None


def test_the_folder_is_whole(learned):
    _, path = learned
    assert {"config.json", "metrics.csv", "summary.json", "report.html"} <= {file.name for file in path.iterdir()}
    assert json.loads((path / "summary.json").read_text())["trials"] == 2
    with pytest.raises(InputError, match="already holds a run"):
        learn(PointMass(), agent(), trials=1, out=path)


def test_an_agent_without_a_model_learns_in_rounds(capsys):
    done = learn(Slope(), Nudge(), steps=60, progress=True)
    assert len(done.returns) == 6  # five rounds of one update of 12 steps, after the untrained policy
    assert done.model is None
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "Slope: 5 rounds after a trial of the untrained policy"
    assert len(shown) == 7


def test_environments_of_gymnasium_are_taken_as_they_are():
    done = learn(hosted(), Nudge(num_envs=1, num_steps=12), steps=24)
    assert len(done.returns) == 3
    made = learn(gymnasium.make("Pendulum-v1", max_episode_steps=6), agent(), trials=1, seed=1)
    assert [len(trial.arrays["reward"]) for trial in made.trials] == [6, 6]


@pytest.mark.parametrize("env", [7, PointMass, "no such task"])
def test_what_is_no_environment_is_refused(env):
    with pytest.raises(InputError):
        learn(env, agent(), trials=1)


def test_the_name_of_a_users_file_holds_in_every_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rig.py").write_text("")
    assert name_of("rig.py:Rig") == f"{tmp_path}/rig.py:Rig"
    assert name_of("pendulum") == "pendulum"
    assert name_of("nowhere.py:Rig") == "nowhere.py:Rig"
