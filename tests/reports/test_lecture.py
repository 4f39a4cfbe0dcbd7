"""The lecture's chart: its tables say what each method needed, its lines what the runs did."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from handful.agents.catalogue import AGENTS, UNKNOWN
from handful.errors import InputError
from handful.reports.curve_figures import RAMPS, chart, styles
from handful.reports.lecture import boards, write_lecture
from handful.training.run_groups import read_runs

HEADER = ["trial", "env_steps", "return", "wall_s"]
PPO = {0: [-1210.0, -900.0, -195.0, -160.0], 4: [-1190.0, -450.0, -230.0, -190.0], 1: [-1250.0, -800.0, -400.0, -260.0]}
PETS = {2: [-1105.0, -150.0], 0: [-1300.0, -700.0], 1: [-1200.0, -170.0]}
Q = {3: [-5.0, 20.0, 171.0], 8: [-3.5, 60.0, 90.0]}


def kept(folder: Path, agent, task, runs, *, first, length, pace, words="", device="an abacus") -> Path:
    """A folder of curves: steps begin at `first`, a trial has `length` steps, a step of seed N takes (N + 1) pace."""
    folder.mkdir(parents=True)
    for seed, returns in runs.items():
        steps = [first + trial * length for trial in range(len(returns))]
        rows = [[t, n, value, n * pace * (seed + 1)] for t, (n, value) in enumerate(zip(steps, returns, strict=True))]
        with (folder / f"seed-{seed}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])
        command = f"handful train {task} --agent {agent} --seed {seed} {words}"
        header = {"task": task, "agent": agent, "seed": seed, "command": command, "device": device}
        (folder / f"seed-{seed}.json").write_text(json.dumps(header))
    return folder


@pytest.fixture
def three(tmp_path):
    """Rounds from nothing, trials from the random one, and another task."""
    return [
        kept(tmp_path / "p" / "ppo", "ppo", "pendulum", PPO, first=0, length=3000, pace=0.001),
        kept(
            tmp_path / "p" / "pets", "pets", "pendulum", PETS, first=200, length=200, pace=0.05, device="a slide rule"
        ),
        kept(tmp_path / "c" / "q", "q-learning", "cartpole-swingup", Q, first=0, length=7000, pace=0.002),
    ]


def table(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_ladder_says_what_each_method_needed(three, tmp_path):
    page = write_lecture(three, tmp_path / "out")
    assert page == tmp_path / "out" / "lecture.html"
    rows = table(tmp_path / "out" / "ladder.csv")
    assert [(row["task"], row["method"], row["kind"], row["device"]) for row in rows] == [
        ("cartpole-swingup", "q-learning", "off-policy", "an abacus"),
        ("pendulum", "pets", "model-based", "a slide rule"),
        ("pendulum", "ppo", "on-policy", "an abacus"),
    ]
    q, pets, ppo = rows
    # one of two seeds reached 170, at step 14,000: the median has the one that never did in it
    assert (q["threshold"], q["reached"], q["steps_to_threshold_least"]) == ("170.0", "1", "14000.0")
    assert q["steps_to_threshold_median"] == q["wall_s_to_threshold_median"] == "inf"
    # two of three reached -200, both at the end of trial 1, seed 1 in 400 * 0.05 * 2 s and seed 2 in 400 * 0.05 * 3 s
    assert (pets["reached"], pets["steps_to_threshold_median"], pets["steps_to_threshold_most"]) == (
        "2",
        "400.0",
        "inf",
    )
    assert float(pets["wall_s_to_threshold_median"]) == pytest.approx(60.0)
    last = np.array([-150.0, -700.0, -170.0])
    found = [float(pets[name]) for name in ("mean", "std", "least")]
    assert found == pytest.approx([last.mean(), last.std(), -700.0])
    # seed 0 after two rounds, seed 4 after three, seed 1 never
    assert (ppo["reached"], ppo["steps_to_threshold_least"], ppo["steps_to_threshold_median"]) == (
        "2",
        "6000.0",
        "9000.0",
    )
    assert float(ppo["wall_s_to_threshold_median"]) == pytest.approx(9000 * 0.001 * 5)
    assert float(ppo["mean"]) == pytest.approx((-160 - 190 - 260) / 3)


def test_the_raw_curves_are_kept(three, tmp_path):
    write_lecture(three, tmp_path / "out")
    rows = table(tmp_path / "out" / "curves.csv")
    for task, method, runs in (
        ("pendulum", "ppo", PPO),
        ("pendulum", "pets", PETS),
        ("cartpole-swingup", "q-learning", Q),
    ):
        for seed, returns in runs.items():
            own = [row for row in rows if (row["task"], row["method"], row["seed"]) == (task, method, str(seed))]
            assert [float(row["return"]) for row in own] == returns
    assert len(rows) == 12 + 6 + 6
    assert float(rows[-1]["wall_s"]) == pytest.approx(400 * 0.05 * 3)  # seed 2 of pets


def test_the_page_says_what_a_reader_must_know(three, tmp_path):
    text = write_lecture(three, tmp_path / "out").read_text()
    assert "On cartpole-swingup no method reached a return of 170 with half of its seeds." in text
    fewest = "pets (model-based) took the fewest steps to a return of \N{MINUS SIGN}200: 400"
    assert f"On pendulum {fewest}; ppo (on-policy) the most: 9\N{THIN SPACE}000." in text
    assert "3 methods, 2 tasks, 8 runs" in text
    assert "Nothing is smoothed" in text
    assert "Wall-clock is of different machines; the tables say which." in text
    assert "side by side" not in text
    assert f"handful compare --lecture {three[0]}" in text
    assert 'src="http' not in text
    assert {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()} == {
        "lecture.html", "curves.csv", "ladder.csv", "pendulum.png", "cartpole-swingup.png"
    }  # fmt: skip


def lines_of(ax, style, *, thick):
    """Where the lines of one method go: thick ones have marks."""
    found = [line for line in ax.lines if line.get_color() == style["color"]]
    return [np.asarray(line.get_xydata()).T for line in found if (line.get_marker() != "None") == thick]


def test_the_lines_are_means_over_seeds_on_log_axes(three):
    _, pendulum = boards(read_runs(three)[0])
    drawn = styles(pendulum)
    steps, wall = chart("pendulum", pendulum, drawn).axes
    assert (steps.get_xscale(), wall.get_xscale()) == ("log", "log")
    ((at, mean),) = lines_of(steps, drawn["ppo"], thick=True)
    np.testing.assert_allclose(at, [3000, 6000, 9000])  # round 0 came before the first step
    np.testing.assert_allclose(mean, np.mean(list(PPO.values()), axis=0)[1:])
    seeds = [returns.tolist() for _, returns in lines_of(steps, drawn["ppo"], thick=False)]
    assert sorted(seeds) == sorted(returns[1:] for returns in PPO.values())
    # seconds of seeds differ: 0.05 (N + 1) a step, on average 0.1
    ((at, mean),) = lines_of(wall, drawn["pets"], thick=True)
    np.testing.assert_allclose(at, [20.0, 40.0])
    np.testing.assert_allclose(mean, [-3605 / 3, -1020 / 3])


@pytest.mark.parametrize(("first", "returns"), [(0, [-1200.0]), (50, [np.nan, np.nan])], ids=["no step", "no number"])
def test_runs_without_a_point_are_told_of_without_a_line(first, returns, three, tmp_path):
    """Alone, and beside others."""
    empty = kept(tmp_path / "e", "trpo", "pendulum", {6: returns}, first=first, length=50, pace=0.2)
    for beside in ([], three[:2]):
        write_lecture([*beside, empty], tmp_path / "out")
        *_, row = table(tmp_path / "out" / "ladder.csv")
        assert (row["method"], float(row["mean"])) == ("trpo", np.nan_to_num(returns[-1], nan=-np.inf))


def test_methods_have_names_of_their_own(tmp_path):
    run = {"first": 50, "length": 50, "pace": 0.1}
    folders = [
        kept(tmp_path / "1", "mpc", "my/file.py:Robot", {1: [1.5, 2.5]}, words="--model gp", **run),
        kept(tmp_path / "2", "pets", "my/file.py:Robot", {1: [1.5, np.nan]}, words="--seeds 1-2", **run),
        kept(tmp_path / "3", "pets", "my/file.py:Robot", {1: [1.5, 4.5, 6.5], 2: [1.0, 3.0]}, words="--paper", **run),
        kept(tmp_path / "4", "theirs", "my/file.py:Robot", {1: [0.5, 7.5]}, **run),
    ]
    text = write_lecture(folders, tmp_path / "out").read_text()
    rows = table(tmp_path / "out" / "ladder.csv")
    assert [(row["method"], row["kind"]) for row in rows] == [
        ("theirs", "kind not known"),
        ("pets, paper", "model-based"),
        ("mpc gp", "model-based"),
        ("pets, side by side", "model-based"),  # what is not finite is below all else
    ]
    assert "threshold" not in rows[0]
    assert "No solved threshold is defined for file.py:Robot." in text
    assert "Seeds learned side by side, and wall-clock is of all seeds together: pets, side by side." in text
    assert "On file.py:Robot: Seeds of pets, paper have from 1 to 2 trials" in text
    assert "Agents of unknown kind: theirs." in text
    assert (tmp_path / "out" / "figures" / "my-file.py-Robot.png").exists()
    (board,) = boards(read_runs(folders)[0])
    drawn = styles(board)
    assert len({(style["color"], style["marker"]) for style in drawn.values()}) == 4


def test_a_threshold_is_of_one_task(three, tmp_path):
    with pytest.raises(InputError, match="--threshold is a return of one task, got runs of cartpole-swingup, pendulum"):
        write_lecture(three, tmp_path / "out", threshold=-250.0)
    assert not (tmp_path / "out").exists()
    write_lecture(three[:1], tmp_path / "out", threshold=-270.0)
    (row,) = table(tmp_path / "out" / "ladder.csv")
    assert (row["reached"], row["steps_to_threshold_median"]) == ("3", "6000.0")


def test_every_agent_has_its_kind():
    assert {entry.learns.experience for entry in AGENTS.values()} == set(RAMPS) - {UNKNOWN.experience}
