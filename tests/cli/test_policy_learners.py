"""`handful train --agent ppo` and its like: rounds instead of trials, and a run folder all the same."""

import csv
import json
import math
import re

import pytest

from handful.agents.options.actor_critic import PPO
from handful.cli.configuration import built, configured
from handful.cli.train_options import options_for
from handful.training.run import RunFolder

TIMES = {"fit_s", "wall_s"}
SHORT = ["--steps", "4000", "--trials", "2"]  # two rounds of one update

HOSTED = """
import gymnasium, numpy as np

class Slide(gymnasium.Env):
    action_space = gymnasium.spaces.Discrete(3)
    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,), np.float64)
    max_episode_steps = 9
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 2)
        return self.place, {}
    def step(self, action):
        self.place = self.place + np.array([0.3, -0.1]) * (action - 1)
        return self.place, -float(self.place[0] ** 2), bool(self.place[0] > 2), False, {}
"""


def ppo_of(task, trials=None, **own):
    """The configuration of a run of PPO."""
    return configured(options_for(["--agent", "ppo"])(task=task, agent="ppo", trials=trials, own=PPO(**own)))


def rows(run):
    with (run / "metrics.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def untimed(run):
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows(run)]


def config(run):
    return json.loads((run / "config.json").read_text())


@pytest.fixture(scope="session")
def learned(tmp_path_factory):
    """A finished run of PPO. Never written to."""
    from handful.cli.main import main

    folder = tmp_path_factory.mktemp("learned") / "run"
    assert main(["train", "point-mass", "--agent", "ppo", *SHORT, "--out", str(folder)]) == 0
    return folder


def test_the_run_folder_is_whole(learned):
    assert {path.name for path in learned.iterdir()} == {
        "config.json", "metrics.csv", "summary.json", "checkpoints", "figures", "videos", "report.html",
    }  # fmt: skip
    table = rows(learned)
    names = list(table[0])
    assert (names[:3], names[-2:]) == (["trial", "env_steps", "return"], ["fit_s", "wall_s"])
    assert {"kl", "entropy", "explained_variance"} <= set(names)
    assert not {"planned_return", "model_nll", "model_rmse", "plan_ms_p50", "plan_ms_p99"} & set(names)
    assert [int(row["trial"]) for row in table] == [0, 1, 2]
    assert [int(row["env_steps"]) for row in table] == [0, 1024, 2048]
    for row in table:
        assert math.isfinite(float(row["return"]))
    summary = json.loads((learned / "summary.json").read_text())
    assert summary["returns"] == [float(row["return"]) for row in table]
    assert (summary["agent"], summary["trials"], summary["env_steps"]) == ("ppo", 2, 2048)
    assert summary["best_return"] == max(summary["returns"])
    assert config(learned)["given"] == {"steps": 4000}
    assert config(learned)["options"].items() >= {"steps": 4000, "num_envs": 8, "num_steps": 128, "epochs": 10}.items()
    assert {"update_kl", "update_entropy", "update_explained_variance"} <= set(RunFolder(learned).trial(2))
    assert "update_kl" not in RunFolder(learned).trial(0)


def test_the_report_speaks_of_rounds(learned):
    page = (learned / "report.html").read_text()
    text = re.sub(r"<[^>]*>", " ", page.split("<body>")[1])
    for words in (
        "2 rounds after a trial of the untrained policy",
        "Metrics of the agent",
        "round 2",
        "A row is a round",
    ):
        assert words in text
    for words in (
        "What it planned",
        "What the model foresaw",
        "How good the model was",
        "random one",
        "planned_return",
    ):
        assert words not in text
    figures = {path.stem for path in (learned / "figures").iterdir()}
    assert {"learning-curve", "wall-time", "traces-last"} <= figures
    assert not {"planned-first", "forecast-first", "model-scores", "planning-time"} & figures


def test_a_run_cut_short_goes_on_to_the_same_numbers(learned, handful, tmp_path):
    run = tmp_path / "run"
    words = ["train", "point-mass", "--agent", "ppo", "--steps", "4000"]
    assert handful(*words, "--trials", "0", "--out", run).code == 0
    assert len(rows(run)) == 1
    said = handful("train", "--resume", run, "--trials", "2")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[:2] for line in said.out.splitlines() if line.startswith("round ")] == [
        ["round", "1"],
        ["round", "2"],
    ]
    assert untimed(run) == untimed(learned)
    assert config(run) == config(learned)


def test_what_was_learned_is_evaluated(learned, handful):
    said = handful("evaluate", learned, "--episodes", "3")
    assert (said.code, said.err) == (0, "")
    assert "3" in said.out


def test_seeds_side_by_side_and_their_comparison(learned, handful, tmp_path):
    group = tmp_path / "group"
    said = handful("train", "point-mass", "--agent", "ppo", *SHORT, "--seeds", "0-1", "--out", group)
    assert (said.code, said.err) == (0, "")
    assert "2 rounds after a trial of the untrained policy" in said.out
    alone, together = rows(learned), rows(group / "seed-0")
    for one, other in zip(together, alone, strict=True):
        assert one["env_steps"] == other["env_steps"]
        assert float(one["return"]) == pytest.approx(float(other["return"]), rel=1e-2)  # products of batches round
    assert rows(group / "seed-1")[2]["return"] != together[2]["return"]
    assert (group / "compare" / "compare.html").exists()
    said = handful("compare", group, learned, "--out", tmp_path / "compare")
    assert (said.code, said.err) == (0, "")


@pytest.mark.parametrize("agent", ["ppo", "reinforce"])
def test_categories_on_the_host(agent, handful, tmp_path):
    """From a file of the user's, whose trials end early: a categorical policy, and every row a step."""
    (tmp_path / "slide.py").write_text(HOSTED)
    task, run = f"{tmp_path}/slide.py:Slide", tmp_path / "run"
    said = handful("train", task, "--agent", agent, "--steps", "300", "--trials", "1", "--out", run)
    assert (said.code, said.err) == (0, "")
    first, last = rows(run)
    assert int(first["env_steps"]) == 0
    assert int(last["env_steps"]) == (1024 if agent == "ppo" else 36)  # of 4 whole trials of 9 steps
    actions = RunFolder(run).trial(1)["action"]
    assert actions.shape[1] == 3
    assert (actions.sum(1) == 1).all()


def test_steps_make_the_rounds(handful, tmp_path):
    """As many as they come to, however many an update takes: here the configuration alone is of interest."""
    assert ppo_of("point-mass", steps=5000)["trials"] == 5  # updates of 1024 steps, one a round
    four = ppo_of("point-mass", steps=200_000)
    assert (four["trials"], four["updates"]) == (49, 4)
    assert ppo_of("point-mass", steps=10)["trials"] == 1
    assert ppo_of("point-mass", trials=3, steps=5000)["trials"] == 3


def test_what_falls_over_a_run_falls_over_all_of_its_rounds():
    """Also where these do not come to the steps, and where more of them were asked for later."""
    config = ppo_of("point-mass", steps=5000)
    _, agent = built(config)
    assert (config["updates"], float(agent.adam.decay_updates)) == (1, 5)
    _, longer = built({**config, "trials": 9})
    assert float(longer.adam.decay_updates) == 9
    host = ppo_of("gymnasium:Pendulum-v1", steps=1000)
    _, agent = built(host)
    assert float(agent.adam.decay_updates) == host["updates"] * host["trials"] == 2


def test_a_class_of_the_user_is_no_built_in_task_of_that_name(refused, tmp_path):
    (tmp_path / "rig.py").write_text(HOSTED.replace("class Slide", "class Pendulum"))
    said = refused("train", f"{tmp_path}/rig.py:Pendulum", "--agent", "q-learning", "--out", tmp_path / "run")
    for part in ("no grid is declared for", "rig.py:Pendulum", "dqn"):
        assert part in said


def test_a_learner_has_copies_on_the_host_where_there_can_be_any(tmp_path):
    """And a round so many updates that a trial of 999 steps ends in it, or one that lasts 9."""
    (tmp_path / "slide.py").write_text(HOSTED)
    sizes = {}
    for name in ("gymnasium:MountainCarContinuous-v0", f"{tmp_path}/slide.py:Slide"):
        config = ppo_of(name, steps=4000)
        own = config["options"]
        sizes[name.rpartition(":")[-1]] = own["num_envs"], own["num_steps"], config["updates"]
    assert sizes == {"MountainCarContinuous-v0": (8, 128, 8), "Slide": (1, 1024, 1)}


@pytest.mark.parametrize(
    ("words", "parts"),
    {
        "--planner cem --agent ppo": ["--planner is not an option of --agent ppo", "pets"],
        "--members 3 --agent a2c": ["--members is not an option of --agent a2c", "mbpo"],
        "--risk 0 --agent trpo": ["--risk is not an option of --agent trpo", "pilco"],
        "--paper --agent ppo": ["--paper is not an option of --agent ppo", "pets"],
        "--refit-every 5 --agent ppo": ["--refit-every is not an option of --agent ppo", "pets", "dp"],
        "--steps 0 --agent ppo": ["--steps", "at least 1", "got 0"],
        "--steps -5 --agent reinforce": ["--steps", "at least 1", "got -5"],
        "--trials -1 --agent ppo": ["--trials", "negative"],
        "--steps 100 --agent pets": ["--steps is not an option of --agent pets", "ppo", "give --trials instead"],
        "--steps 100": ["--steps is not an option of --agent pets"],
        "--steps 100 --model gp": ["--steps is not an option of --agent pets"],
        "--steps 100 --agent mbpo": ["--steps is not an option of --agent mbpo"],
    }.items(),
)
def test_refused(words, parts, refused, tmp_path):
    said = refused("train", "point-mass", *words.split(), "--out", tmp_path / "run")
    for part in parts:
        assert part in said
    assert not (tmp_path / "run").exists()


def test_a_run_with_fewer_rounds_than_it_has_is_refused(learned, refused):
    assert "holds 2 rounds already, got 1" in refused("train", "--resume", learned, "--trials", "1")
    assert config(learned)["trials"] == 2


def test_an_environment_that_gives_no_number_loses_no_round(refused, handful, tmp_path):
    """Half way through the second round."""
    broken = HOSTED.replace("-float(self.place[0] ** 2)", "self.paid()").replace(
        "    def step",
        "    steps = 0\n    def paid(self):\n        self.steps += 1\n"
        "        return float('nan') if self.steps == LAST else 1.0\n    def step",
    )
    (tmp_path / "slide.py").write_text(broken + "\nLAST = 1500\n")
    run = tmp_path / "run"
    said = handful("train", f"{tmp_path}/slide.py:Slide", "--agent", "ppo", *SHORT, "--out", run)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "reward must be finite, got nan" in said.err
    assert [row["env_steps"] for row in rows(run)] == ["0", "1024"]
