"""A user's own planner, model and agent by one file; and what is said where one cannot be used."""

import json

import pytest

PARTS = """
import sys
import equinox as eqx, jax.numpy as jnp
from handful import AbstractDynamics, LinearLearner, Prediction
from handful.planners import RandomShooting
from handful.envs.point_mass import PointMass as Mass
from handful.planning.shooting import ShootingState

def shooting(): return RandomShooting(horizon=4, candidates=9)
ready = RandomShooting(horizon=4, candidates=9)
linear = LinearLearner(ridge=0.01)
number = 3

class Sliding(AbstractDynamics):
    def predict(self, obs, action): return Prediction(obs, 0 * obs, 0 * obs)

def needs(what): return ready
def broken():
    raise OSError("cable out")
def leaves(): sys.exit(3)
"""
SHORT = ["--iterations", "1", "--particles", "2", "--trials", "1"]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "raises.py").write_text("x = 1\nraise RuntimeError('cable out')\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(2)\n")
    return tmp_path


@pytest.mark.slow
def test_parts_of_ones_own_learn_and_go_on_from_another_directory(parts, handful, monkeypatch):
    words = ["--planner", "parts.py:shooting", "--model", "parts.py:linear", "--candidates", "7", *SHORT]
    assert handful("train", "parts.py:Mass", *words, "--out", "run").code == 0
    config = json.loads((parts / "run" / "config.json").read_text())
    assert (config["agent"], config["task"]) == ("mpc", f"{parts}/parts.py:Mass")
    named = {"planner": f"{parts}/parts.py:shooting", "model": f"{parts}/parts.py:linear"}
    assert config["options"].items() >= (named | {"horizon": 4, "candidates": 7}).items()
    assert config["given"].items() >= named.items()
    assert config["options"]["elites"] is None
    (parts / "elsewhere").mkdir()
    monkeypatch.chdir(parts / "elsewhere")
    assert handful("train", "--resume", "../run", "--trials", 2).code == 0
    assert handful("evaluate", parts / "run", "--episodes", 1).code == 0


@pytest.mark.parametrize("name", ["shooting", "ready"])
def test_a_function_and_an_instance_stand_for_a_planner(name, parts, handful):
    """Refused only for another reason, after the planner was made with these sizes."""
    said = handful("train", "point-mass", "--planner", f"parts.py:{name}", "--candidates", "0", "--out", "run")
    assert said.code == 2
    assert "at least 1 candidates, got 0" in said.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    {
        "--planner nowhere.py:Mine": ["there is no file nowhere.py"],
        "--planner parts.py": ["parts.py needs the name of a planner", "Sliding"],
        "--planner parts.py:Mine": ["parts.py has no 'Mine'", "Sliding"],
        "--planner parts.py:number": ["parts.py:number must be an AbstractPlanner", "is an int"],
        "--planner parts.py:linear": ["must be an AbstractPlanner", "is a LinearLearner"],
        "--planner parts.py:needs": ["must be made without arguments", "(what)"],
        "--planner parts.py:broken": ["raised OSError when made, at line 19: cable out"],
        "--planner parts.py:leaves": ["raised SystemExit when made"],
        "--planner raises.py:Mine": ["raises.py raised RuntimeError when imported, at line 2: cable out"],
        "--planner leaves.py:Mine": ["leaves.py raised SystemExit when imported, at line 2"],
        "--planner parts.py:ready --elites 3": ["--elites is not an option of --planner parts.py:ready"],
        "--model parts.py:Sliding": ["must be an AbstractLearner", "makes a Sliding", "write the AbstractLearner"],
        "--model parts.py:linear --max-points 3": ["--max-points"],
        "--agent parts.py:ready": ["parts.py:ready must be an AbstractAgent", "is a RandomShooting"],
        "--agent nowhere.py:Mine": ["there is no file nowhere.py"],
    }.items(),
)
def test_a_part_that_cannot_be_used_is_named(words, sentence, parts, refused):
    said = refused("train", "point-mass", *words.split(), "--out", "run")
    for part in sentence:
        assert part in said
    assert not (parts / "run").exists()
