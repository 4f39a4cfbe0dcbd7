"""Every belief and agent that the command line names: what it is made of, and that it runs, is told and goes on."""

import csv
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handful.agents.mpc_agent import MPCAgent
from handful.agents.policy_search import PolicySearchAgent
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.models.ensemble_learner import EnsembleLearner
from handful.models.gp.learner import GPLearner
from handful.models.linear import LinearLearner
from handful.models.physics_learner import PhysicsLearner
from handful.models.residual import ResidualLearner
from handful.planning.gradient import GradientPlanner
from handful.planning.ilqr import ILQR
from handful.propagation.distribution_sampling import MomentMatching
from handful.propagation.trajectory_sampling import TSInf
from handful.training.run import RunFolder
from named_agents import agent_of, learner_of

LEARNERS = {
    "ensemble": EnsembleLearner,
    "gp": GPLearner,
    "linear": LinearLearner,
    "physics": PhysicsLearner,
    "physics+ensemble": ResidualLearner,
}
SHORT = ["--horizon", "5", "--candidates", "20", "--iterations", "1"]
FEW = ["--model", "gp", "--max-points", "60", "--search-starts", "2", *SHORT]  # two trials have more points than that


@pytest.mark.parametrize("model", list(LEARNERS))
def test_a_model_is_learned_by_its_learner_and_planned_through(model):
    assert type(learner_of(PointMass(), model=model)) is LEARNERS[model]
    agent = agent_of(PointMass(), model=model)
    assert isinstance(agent, MPCAgent)
    assert agent.propagator == TSInf(5)


def test_pilco_is_a_gaussian_process_moment_matching_and_a_policy():
    agent = agent_of(PointMass(), "pilco", horizon=7)
    assert isinstance(agent, PolicySearchAgent)
    assert isinstance(agent.learner, GPLearner)
    assert agent.propagator == MomentMatching(20)
    assert agent.ascent.horizon == 7
    other = agent_of(PointMass(), "pilco", model="linear", propagation="ts-inf", particles=3)
    assert isinstance(other.learner, LinearLearner)
    assert other.propagator == TSInf(3)


def test_plans_multiply_in_bfloat16_when_asked_and_the_belief_does_not():
    agent = agent_of(PointMass(), precision="bf16")
    state = agent.init(jax.random.key(0), PointMass().task)
    types = lambda belief: {weight.dtype.name for weight in belief.members.net.weights}
    assert types(agent.policy(PointMass().task, state).problem.model) == {"bfloat16"}
    assert types(agent.model(state)) == {"float32"}


def test_a_belief_is_recalibrated_when_asked():
    agent = agent_of(PointMass(), model="linear", recalibrate=1.7)
    state = agent.init(jax.random.key(0), PointMass().task)
    plain = agent_of(PointMass(), model="linear").model(state)
    obs, action = jnp.array([0.3, -0.2, 0.5, 0.1]), jnp.array([0.4, -0.6])
    stretched, usual = agent.model(state).predict(obs, action), plain.predict(obs, action)
    np.testing.assert_allclose(stretched.epistemic, 1.7**2 * usual.epistemic, rtol=1e-6)
    np.testing.assert_array_equal(stretched.mean, usual.mean)


def test_double_precision_holds_for_a_whole_run_and_its_evaluation(tmp_path):
    """In processes of their own: precision is a matter of the whole process."""
    words = ["train", "point-mass", *FEW, "--trials", "1", "--float64", "--out", str(tmp_path / "run")]
    for command in (words, ["evaluate", str(tmp_path / "run"), "--episodes", "1"]):
        done = subprocess.run(
            [sys.executable, "-m", "handful.cli.main", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "run" / "checkpoints" / "state.npz") as state:
        kinds = {state[name].dtype for name in state.files if state[name].dtype.kind == "f"}
    assert kinds == {np.dtype("float64")}


@pytest.mark.parametrize(("name", "kind"), [("gradient", GradientPlanner), ("ilqr", ILQR)])
def test_planners_by_derivative(name, kind):
    agent = agent_of(PointMass(), planner=name, horizon=6, iterations=2)
    assert isinstance(agent.planner, kind)
    assert (agent.planner.horizon, agent.planner.iterations) == (6, 2)


def test_physics_that_nobody_has_written_down_is_asked_for():
    class Mine(PointMass.__mro__[1]):
        task = PointMass().task

        def reset(self, key):
            raise NotImplementedError

        def step(self, key, state, action):
            raise NotImplementedError

    with pytest.raises(InputError, match="there is no physics for Mine; write `physics = PhysicsLearner"):
        learner_of(Mine(), "mpc", model="physics")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        FEW,
        ["--model", "physics+ensemble", "--members", "2", "--particles", "2", "--fit-steps", "20", *SHORT],
        ["--agent", "pilco", "--model", "linear", "--horizon", "4", "--particles", "3"],
    ],
    ids=" ".join,
)
def test_a_run_is_told_and_goes_on_to_the_same_numbers(words, *, handful, tmp_path, monkeypatch):
    """In one go, and stopped after the first controlled trial: the same metrics but for times, and a report."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert handful("train", "point-mass", *words, "--trials", 2, "--out", whole).code == 0
    save = RunFolder.save_state

    def stopping(self, state, rows, **header):
        save(self, state, rows, **header)
        if len(rows) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_state", stopping)
        assert handful("train", "point-mass", *words, "--trials", 2, "--out", parts).code == 130
    assert handful("train", "--resume", parts).code == 0
    one, other = (untimed(folder) for folder in (whole, parts))
    assert len(one) == 3
    assert {"model_nll", "return"} <= set(one[0])
    assert one == other
    wanted = "pilco" if "pilco" in words else "mpc"
    assert json.loads((whole / "summary.json").read_text())["agent"] == wanted
    assert (whole / "report.html").stat().st_size > 10_000


def untimed(run):
    """The metrics, as they are written, without the times."""
    rows = csv.DictReader((run / "metrics.csv").read_text().splitlines())
    return [
        {name: value for name, value in row.items() if not name.endswith("_s") and "_ms_" not in name} for row in rows
    ]
