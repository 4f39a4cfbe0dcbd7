"""What a comparison reads, how it groups, and that its tables say what the runs did."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from handful.errors import InputError
from handful.reports.comparison import write_comparison
from handful.reports.curve_figures import curves
from handful.reports.page import Picture
from handful.scores.learning_curves import interquartile_mean
from handful.training.run_groups import read_groups

HEADER = ["trial", "env_steps", "return", "wall_s"]
RETURNS = {  # seed -> returns, trial by trial
    "slow": {0: [-9.0, 20.0, 31.0], 2: [-8.5, 10.0, 28.5], 7: [-7.25, 40.0, 12.0], 3: [-9.5, 15.0, 35.0]},
    "quick": {0: [-9.0, 50.0, 33.0, 55.0], 1: [-6.0, 45.5, 47.0], 2: [-8.0, 5.0, 46.5, 60.0]},
}


def kept(folder: Path, command: str, runs, *, task="pendulum", length=50, **facts) -> Path:
    """A folder of metrics and summaries; wall-clock is a third of the steps."""
    folder.mkdir(parents=True)
    for seed, returns in runs.items():
        rows = [[trial, (trial + 1) * length, value, (trial + 1) * length / 3] for trial, value in enumerate(returns)]
        with (folder / f"seed-{seed}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])
        header = {"task": task, "agent": "pets", "seed": seed, "versions": {"handful": "0.1.0"}, "command": command}
        (folder / f"seed-{seed}.json").write_text(json.dumps(header | {"device": "an abacus"} | facts))
    return folder


@pytest.fixture
def two(tmp_path):
    slow = kept(tmp_path / "slow", "handful train pendulum --seed 0 --trials 2", RETURNS["slow"])
    quick = kept(tmp_path / "quick", "handful train pendulum --refit-every 10 --seed 1", RETURNS["quick"])
    return [slow, quick]


def table(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_tables_say_what_the_runs_did(two, tmp_path):
    page = write_comparison(two, tmp_path / "out", threshold=45.0)
    assert page == tmp_path / "out" / "compare.html"
    rows = table(tmp_path / "out" / "curves.csv")
    found = {
        label: {seed: [float(row["return"]) for row in rows if (row["group"], row["seed"]) == (label, str(seed))]
                for seed in runs}
        for label, runs in (("defaults", RETURNS["slow"]), ("refit every 10", RETURNS["quick"]))
    }  # fmt: skip
    assert found == {"defaults": RETURNS["slow"], "refit every 10": RETURNS["quick"]}
    assert all(float(row["wall_s"]) == int(row["env_steps"]) / 3 == (int(row["trial"]) + 1) * 50 / 3 for row in rows)

    slow, quick = table(tmp_path / "out" / "summary.csv")
    assert (slow["seeds"], slow["trials"], slow["env_steps_most"]) == ("4", "2", "150")
    last = np.array([31.0, 28.5, 12.0, 35.0])
    assert float(slow["mean"]) == pytest.approx(last.mean())
    assert float(slow["iqm"]) == pytest.approx((31.0 + 28.5) / 2)
    assert float(slow["std"]) == pytest.approx(last.std())
    assert last.min() <= float(slow["mean_low"]) < last.mean() < float(slow["mean_high"]) <= last.max()
    assert (slow["reached"], slow["steps_to_threshold_median"]) == ("0", "inf")
    # what is compared ends with trial 2, which all three have
    last = np.array([33.0, 47.0, 46.5])
    assert (quick["seeds"], quick["trials"]) == ("3", "2")
    assert float(quick["mean"]) == pytest.approx(last.mean()) == float(quick["mean_at_common_steps"])
    assert float(quick["iqm"]) == pytest.approx(interquartile_mean(last[None])[0])
    assert [float(quick[f"steps_to_threshold_{which}"]) for which in ("least", "median", "most")] == [100, 100, 150]
    assert float(quick["wall_s_to_threshold_most"]) == pytest.approx(50)


@pytest.mark.parametrize(("file", "content"), [
    ("seed-4.json", '{"task": "pendulum", "seed": 4, "device": [1]}'),
    ("seed-4.json", '{"task": "pendulum", "seed": 1e999}'),
    ("seed-4.json", '{"task": ["pendulum"], "seed": 4}'),
    ("seed-4.json", "[" * 100_000),
    ("seed-4.csv", "trial,env_steps,return,wall_s\n0,nan,1.0,2.0\n"),
    ("seed-4.csv", "trial,env_steps,return,wall_s\n0,9,1.0,2.0\n1,5,1.0,3.0\n"),
    ("seed-4.csv", "trial,env_steps,return,wall_s\n0,9,1.0\n"),
    ("seed-4.csv", 'trial,env_steps,return,wall_s\n0,9,"1.0' + "x" * 200_000),
])  # fmt: skip
def test_a_run_of_another_form_is_one_sentence(file, content, tmp_path):
    folder = kept(tmp_path / "own", "", {4: [1.5, 2.5]})
    (folder / file).write_text(content)
    with pytest.raises(InputError, match="seed-4"):
        read_groups([folder])


def test_the_page_says_what_a_reader_must_know(two, tmp_path):
    text = write_comparison(two, tmp_path / "out", threshold=45.0).read_text()
    assert "Seeds of refit every 10 have from 2 to 3 trials; curves and tables end with trial 2" in text
    assert "4 of 4 seeds of defaults never reached 45." in text
    assert "refit every 10 has 3 seeds: its interquartile mean is the mean" in text
    assert "The highest mean return after 150 steps, which all have taken, is 42.17 [33, 47]: refit every 10." in text
    assert "7 runs in 2 groups" in text
    assert f"handful compare {two[0]} {two[1]} --threshold 45" in text
    assert "of different machines" not in text
    assert 'src="http' not in text
    assert len(re.findall("data:image/png", text)) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "compare.html", "curves.csv", "summary.csv", "figures"
    }  # fmt: skip


def test_without_a_threshold_there_is_nothing_to_reach(tmp_path):
    folder = kept(tmp_path / "own", "", {4: [1.5, np.nan]}, task="my/file.py:Robot")
    text = write_comparison([folder], tmp_path / "out").read_text()
    assert "No solved threshold is defined for this task" in text
    assert "<h1>file.py:Robot</h1>" in text
    assert "not finite" in text
    assert "Steps and time to" not in text
    assert "threshold" not in table(tmp_path / "out" / "summary.csv")[0]


def test_the_threshold_is_what_counts_as_solved(tmp_path):
    folder = kept(tmp_path / "a", "handful train pendulum", {1: [-900.0, -200.0], 2: [-900.0, -201.0]})
    write_comparison([folder], tmp_path / "out")
    (row,) = table(tmp_path / "out" / "summary.csv")
    assert (float(row["threshold"]), row["reached"], row["steps_to_threshold_most"]) == (-200.0, "1", "inf")


def test_machines_and_seeds_that_do_not_compare_are_told(tmp_path):
    runs = {1: [2.0, 3.0], 4: [2.5, 1.0]}
    one = kept(tmp_path / "one", "handful train pendulum --seed 1", runs)
    other = kept(tmp_path / "other", "handful train pendulum --seed 1", {4: runs[4]}, device="a slide rule")
    text = write_comparison([one, other], tmp_path / "out").read_text()
    assert "Wall-clock is of different machines: a slide rule; an abacus." in text
    assert "holds seed 4 more than once" in text


def test_trials_that_end_early_are_compared_at_what_each_had_by_then(tmp_path):
    """Ten steps a trial against fifty."""
    brief = kept(tmp_path / "brief", "handful train pendulum --horizon 3", {1: [1.0, 2.0, 3.0]}, length=10)
    long = kept(tmp_path / "long", "handful train pendulum --horizon 4", {1: [5.0, 6.0, 7.0]})
    text = write_comparison([long, brief], tmp_path / "out").read_text()
    assert "The highest mean return after 30 steps, which all have taken, is 3: horizon 3. The next is none yet" in text
    rows = {row["group"]: row for row in table(tmp_path / "out" / "summary.csv")}
    assert [float(rows[name]["mean"]) for name in ("horizon 3", "horizon 4")] == [3.0, 7.0]
    assert float(rows["horizon 3"]["mean_at_common_steps"]) == 3.0
    assert rows["horizon 4"]["mean_at_common_steps"] == "nan"  # no trial was over after 30 steps


def test_runs_are_grouped_by_all_but_their_seed(two, make_run, tmp_path):
    """Run folders beside what was kept of runs; however a setting was written down, it is the same setting."""
    made = make_run(tmp_path / "run", 2, task="pendulum")
    alone = [group.label for group in read_groups([made.path])[0]]
    assert alone == ["pets"]
    groups, notes = read_groups([*two, made.path, two[0]])
    assert {group.label: [run.curve.seed for run in group.runs] for group in groups} == {
        "defaults": [0, 2, 3, 5, 7],
        "refit every 10": [0, 1, 2],
    }
    assert notes == []
    config = made.config() | {"given": {"planner": "cem", "paper": True}, "refit_every": 10, "seeds": "5,6"}
    made.write_config(config)
    labels = [group.label for group in read_groups([*two, made.path])[0]]
    assert labels == ["defaults", "refit every 10", "refit every 10, planner cem, paper, side by side"]


def test_a_group_folder_stands_for_its_runs(make_run, tmp_path):
    group = tmp_path / "group"
    group.mkdir()
    (group / "group.json").write_text("{}")
    for seed in (1, 2, 3):
        run = make_run(group / f"seed-{seed}", 1)
        run.write_config(run.config() | {"seed": seed, "seeds": "1-3"})
    (group / "seed-3" / "metrics.csv").unlink()
    groups, notes = read_groups([group])
    assert [run.curve.seed for run in groups[0].runs] == [1, 2]
    assert notes == [f"Left out, as no trial of it is finished: {group}/seed-3."]
    text = write_comparison([group], tmp_path / "out").read_text()
    assert "Seeds of pets learned side by side" in text
    shutil.rmtree(group / "seed-1")
    shutil.rmtree(group / "seed-2")
    with pytest.raises(InputError, match="no finished trial"):
        read_groups([group])


def spoil(path, text):
    path.write_text(text)


DAMAGES = {
    "no run": (shutil.rmtree, ["slow", "no runs", "seed-N.csv"]),
    "no trial": (lambda folder: [spoil(path, ",".join(HEADER)) for path in folder.glob("*.csv")], ["no finished"]),
    "half a table": (lambda folder: spoil(folder / "seed-0.csv", "trial,env_steps\n0,5\n"), ["seed-0.csv", "wall_s"]),
    "no number": (lambda folder: spoil(folder / "seed-2.csv", ",".join(HEADER) + "\n0,5,x,1\n"), ["seed-2.csv", "x"]),
    "half a summary": (lambda folder: spoil(folder / "seed-7.json", '{"ta'), ["seed-7.json", "damaged"]),
    "no seed": (lambda folder: spoil(folder / "seed-7.json", '{"task": "pendulum"}'), ["seed-7", "seed"]),
    "no task": (
        lambda folder: spoil(folder / "seed-7.json", '{"task": null, "seed": 7}'),
        ["seed-7", "None is no text"],
    ),
    "no versions": (lambda folder: spoil(folder / "seed-7.json", '{"versions": null}'), ["seed-7", "cannot be read"]),
    "half a command": (
        lambda folder: spoil(folder / "seed-7.json", '{"command": "a \'b"}'),
        ["seed-7", "cannot be read"],
    ),
    "no command": (lambda folder: spoil(folder / "seed-7.json", '{"command": 5}'), ["seed-7", "5 is no text"]),
    "another task": (
        lambda folder: spoil(folder / "seed-7.json", '{"task": "reacher-7dof", "seed": 7}'),
        ["one task", "pendulum, reacher-7dof", "--lecture"],
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_compared_is_named(damage, two, tmp_path):
    change, parts = DAMAGES[damage]
    change(two[0])
    with pytest.raises(InputError) as refusal:
        write_comparison(two, tmp_path / "out")
    assert all(part in str(refusal.value) for part in parts), refusal.value
    assert not (tmp_path / "out").exists()


def test_curves_name_their_groups(two):
    groups, _ = read_groups(two, threshold=45.0)
    picture = Picture.drawn("curves", curves(groups, "wall_s"), "", columns=1)
    (legend,) = picture.content.legends
    assert [text.get_text() for text in legend.get_texts()] == ["defaults (4 seeds)", "refit every 10 (3 seeds)"]
