"""Agents that learn a policy inside a belief, and the one that solves a table, from the command line."""

import pytest

from handful.training.run import RunFolder


def test_a_table_is_counted_and_solved_trial_by_trial(handful, tmp_path):
    said = handful("train", "pendulum", "--agent", "dp", "--trials", "2", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    rows = RunFolder(tmp_path / "run").rows()
    assert [row.env_steps for row in rows] == [200, 400, 600]
    assert rows[-1].model_nll is not None
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_a_policy_practises_in_the_belief(handful, tmp_path):
    words = ["--agent", "me-trpo", "--members", "2", "--fit-steps", "30", "--trials", "1"]
    said = handful("train", "point-mass", *words, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert len(RunFolder(tmp_path / "run").rows()) == 2


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("pendulum --agent dp --members 3", ["--members is of other agents", "dp counts in a grid"]),
        ("half-cheetah-pets --agent dp", ["there is a grid for", "half-cheetah-pets"]),
        ("half-cheetah-pets --agent q-learning", ["there is a grid for", "half-cheetah-pets"]),
        ("pendulum --agent mbpo --planner cem", ["--planner does not fit --agent mbpo"]),
        ("pendulum --agent me-trpo --horizon 5", ["--horizon is of planners"]),
        ("cartpole-v1 --agent pets+policy", ["plans continuous actions", "categories"]),
    ],
)
def test_refused(words, parts, refused, tmp_path):
    said = refused("train", *words.split(), "--out", tmp_path / "run")
    for part in parts:
        assert part in said
    assert not (tmp_path / "run").exists()
