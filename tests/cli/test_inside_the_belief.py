"""Agents that learn a policy inside a belief, and the one that solves a table, from the command line."""

import pytest

from handful.envs.point_mass import PointMass
from handful.training.run import RunFolder
from named_agents import agent_of


def test_a_table_is_counted_and_solved_trial_by_trial(handful, tmp_path):
    said = handful("train", "pendulum", "--agent", "dp", "--trials", "2", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    rows = RunFolder(tmp_path / "run").rows()
    assert [row.env_steps for row in rows] == [200, 400, 600]
    assert rows[-1].metrics["model_nll"] is not None
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_a_policy_learns_inside_the_model(handful, tmp_path):
    words = ["--agent", "me-trpo", "--members", "2", "--fit-steps", "30", "--trials", "1"]
    said = handful("train", "point-mass", *words, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert len(RunFolder(tmp_path / "run").rows()) == 2


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("pendulum --agent dp --members 3", ["--members is not an option of --agent dp", "but of pets, mpc"]),
        ("half-cheetah-pets --agent dp", ["no grid is declared for", "half-cheetah-pets"]),
        ("half-cheetah-pets --agent q-learning", ["no grid is declared for", "half-cheetah-pets"]),
        ("pendulum --agent mbpo --planner cem", ["--planner is not an option of --agent mbpo", "pets+policy"]),
        ("pendulum --agent me-trpo --horizon 5", ["--horizon is not an option of --agent me-trpo"]),
        ("pendulum --agent mbpo --recalibrate nan", ["--recalibrate must be finite and above zero, got nan"]),
        ("pendulum --agent mbpo --model gp --members 3", ["--members is an option of networks", "--model gp"]),
        ("pendulum --agent me-trpo --model linear --fit-steps 5", ["--fit-steps is an option of networks"]),
        ("pendulum --agent pets+policy --horizon 201", ["--horizon must be at most a trial's 200 steps, got 201"]),
        ("cartpole-v1 --agent pets+policy", ["plans continuous actions", "categories"]),
    ],
)
def test_refused(words, parts, refused, tmp_path):
    said = refused("train", *words.split(), "--out", tmp_path / "run")
    for part in parts:
        assert part in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("members", "particles"), [(2, 6), (5, 5), (7, 7)])
def test_plans_over_a_policy_meet_each_member_equally_often(members, particles):
    env = PointMass()
    agent = agent_of(env, "pets+policy", "point-mass", members=members)
    assert agent.propagator.particles == particles
