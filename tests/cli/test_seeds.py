"""`handful train --seeds`: the folders that it leaves, systems on the host, and what it refuses."""

import csv
import json
import shutil
import sys
import threading

import pytest

from handful.cli import processes
from handful.cli.processes import cores, run_apart
from handful.cli.stopping import Stop
from handful.errors import InputError

HOSTED = """
import gymnasium, numpy as np

class Slide(gymnasium.Env):
    action_space = gymnasium.spaces.Box(-1.0, 2.0, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (1,), np.float64)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.place = 0, self.np_random.uniform(-1, 1, 1)
        return self.place, {}
    def step(self, action):
        self.time, self.place = self.time + 1, self.place + 0.3 * action
        return self.place, -float(self.place[0] ** 2), False, self.time == 6, {}

def reward(obs, action, next_obs): return -next_obs[0] ** 2
"""
LINEAR = ["--model", "linear", "--horizon", "3", "--candidates", "6", "--iterations", "1", "--particles", "2"]


def test_a_group_holds_a_run_folder_for_each_seed(group, made):
    assert {path.name for path in group.iterdir()} == {"group.json", "seed-0", "seed-5", "compare"}
    shared = json.loads((group / "group.json").read_text())
    for seed in (0, 5):
        run = group / f"seed-{seed}"
        assert {path.name for path in run.iterdir()} == {path.name for path in made.iterdir()}
        assert json.loads((run / "config.json").read_text()) == {**shared, "seed": seed}
        summary = json.loads((run / "summary.json").read_text())
        assert (summary["seed"], summary["trials"]) == (seed, 2)
        assert summary.keys() == json.loads((made / "summary.json").read_text()).keys()
        assert summary["returns"] == [row["return"] for row in rows(run)]
        assert "--seeds 0,5" in (run / "report.html").read_text()
    page = (group / "compare" / "compare.html").read_text()
    assert "learned side by side" in page


def test_a_seed_of_a_group_is_the_run_of_that_seed(group, made):
    """Batched products round in another order; the point mass makes no more of it than a thousandth in two trials."""
    together, alone = rows(group / "seed-0"), rows(made)
    assert together[0]["return"] == pytest.approx(alone[0]["return"], rel=1e-6)
    for one, other in zip(together, alone, strict=True):
        assert one["env_steps"] == other["env_steps"]
        assert one["return"] == pytest.approx(other["return"], rel=1e-3)
    assert rows(group / "seed-5")[0]["return"] != together[0]["return"]


def test_a_group_is_compared_with_a_run_of_its_own(group, made, handful, tmp_path):
    said = handful("compare", group, made, "--threshold", "-150", "--out", tmp_path / "compare")
    assert (said.code, said.out, said.err) == (0, f"{tmp_path}/compare/compare.html\n", "")
    with (tmp_path / "compare" / "curves.csv").open(newline="") as lines:
        found = [(row["group"], int(row["seed"]), float(row["return"])) for row in csv.DictReader(lines)]
    expected = [("side by side", seed, row["return"]) for seed in (0, 5) for row in rows(group / f"seed-{seed}")]
    assert found == [*expected, *(("defaults", 0, row["return"]) for row in rows(made))]


@pytest.mark.parametrize(
    ("words", "parts"),
    {
        "": ["name the runs"],
        "--lecture": ["name the runs"],
        "nowhere --lecture": ["nowhere", "no runs"],
        "nowhere": ["nowhere", "no runs"],
        ".": ["no runs", "seed-N.csv"],
        "nowhere --threshold nan": ["--threshold", "finite"],
        "nowhere --threshold high": ["--threshold", "high"],
    }.items(),
)
def test_compare_refuses(words, parts, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sentence = refused("compare", *words.split())
    assert all(part in sentence for part in parts), sentence
    assert list(tmp_path.iterdir()) == []


def test_a_seed_of_a_group_goes_on_with_the_group(group, refused, contents):
    before = contents(group)
    sentence = refused("train", "--resume", group / "seed-5")
    assert f"handful train --resume {group}" in sentence
    for command in ("evaluate", "report"):
        assert f"{group}/seed-" in refused(command, group)
    assert "2 trials" in refused("train", "--resume", group, "--trials", 1)
    assert "--seeds" in refused("train", "--resume", group, "--seeds", "0,5")
    assert "--resume" in refused("train", "point-mass", "--seeds", "0,5", "--out", group)
    assert "--resume" in refused("train", "point-mass", "--out", group)
    assert contents(group) == before


@pytest.fixture
def undrawn(monkeypatch):
    """Reports take longer than all else, and are drawn in the tests above."""
    monkeypatch.setattr("handful.reports.run_report.write_report", lambda folder: folder.report_path.write_text(""))


def test_a_group_can_go_on_with_more_trials(undrawn, group, handful, tmp_path):
    """Here after a crash between the seeds: one has the last trial, the other has not begun."""
    folder = shutil.copytree(group, tmp_path / "group")
    shutil.rmtree(folder / "seed-5")
    (folder / ".group.json.7.part").write_text("{")
    said = handful("train", "--resume", folder, "--trials", 3)
    assert (said.code, said.err) == (0, "")
    assert [line.split()[1] for line in said.out.splitlines() if line.startswith("trial ")] == ["0", "1", "2", "3"]
    assert json.loads((folder / "group.json").read_text())["trials"] == 3
    assert not list(folder.rglob(".*"))
    for seed in (0, 5):
        assert [row["trial"] for row in rows(folder / f"seed-{seed}")] == [0, 1, 2, 3]
        assert json.loads((folder / f"seed-{seed}" / "config.json").read_text())["trials"] == 3
    kept = [(path / "seed-0" / "metrics.csv").read_text() for path in (folder, group)]
    assert kept[0].startswith(kept[1])


@pytest.mark.parametrize("text", ['{"seeds": "0,0"}', "[1]", '{"trials": 2}', '{"seeds": 3}', "{"])
def test_a_damaged_group_is_told(text, refused, tmp_path):
    (tmp_path / "group.json").write_text(text)
    assert "group.json is missing or damaged" in refused("train", "--resume", tmp_path)


@pytest.mark.parametrize(
    ("words", "parts"),
    {
        "--seeds 0-3 --seed 2": ["--seed 2", "--seeds"],
        "--seeds 0-3 --seed 0": ["--seed 0", "--seeds"],
        "--seeds 4-1": ["'4-1'", "lower"],
        "--seeds 1,1": ["1 twice"],
        "--seeds many": ["'many'", "0-9"],
        "--seeds 4294967296": ["4294967295", "4294967296"],
        "--seeds 0-5000": ["1000"],
        "--seeds 0-1 --horizon 300": ["--horizon", "got 300"],
    }.items(),
)
def test_bad_seeds_are_refused_before_a_folder_is_made(words, parts, refused, tmp_path):
    sentence = refused("train", "point-mass", *words.split(), "--out", tmp_path / "group")
    assert all(part in sentence for part in parts), sentence
    assert list(tmp_path.iterdir()) == []


def test_seeds_of_a_system_on_the_host_get_a_process_each(undrawn, handful, tmp_path, monkeypatch):
    """The processes here are calls, one after the other; of three seeds one is finished and one has begun."""
    (tmp_path / "slide.py").write_text(HOSTED)
    task, folder = f"{tmp_path}/slide.py:Slide", tmp_path / "group"
    asked = []

    def in_turn(commands, stop):
        for seed, words in commands.items():
            asked.append((seed, words[1]))
            assert handful(*words).code == 0

    monkeypatch.setattr(processes, "run_apart", in_turn)
    assert handful("train", task, *LINEAR, "--trials", 1, "--seeds", "0-1,4", "--out", folder).code == 0
    assert [seed for seed, _ in asked] == [0, 1, 4]
    whole = {seed: untimed(folder / f"seed-{seed}") for seed in (0, 1, 4)}
    assert len({row[0]["return"] for row in whole.values()}) == 3
    shutil.rmtree(folder / "seed-4")
    (folder / "seed-1" / "summary.json").unlink()
    asked.clear()
    assert handful("train", "--resume", folder).code == 0
    assert [seed for seed, _ in asked] == [1, 4]
    assert {seed: untimed(folder / f"seed-{seed}") for seed in (0, 1, 4)} == whole
    assert (folder / "compare" / "compare.html").exists()


CHILD = """
import os, pathlib, signal, sys, time
name, folder, what = sys.argv[1:]
print("a note"); print("trial  0  return", name, os.environ["XLA_FLAGS"], len(os.sched_getaffinity(0)), flush=True)
here = pathlib.Path(folder, name)
here.touch()
if what == "wait":
    time.sleep(60)
time.sleep(0.2)
print("most", len(list(pathlib.Path(folder).iterdir())), file=sys.stderr)
here.unlink()
if what == "fail":
    sys.exit("handful: the cable is out")
"""


@pytest.fixture
def program():
    return [sys.executable, "-c", CHILD]


def test_processes_run_one_a_core_and_a_failure_stops_no_other(program, tmp_path, capsys):
    (tmp_path / "at").mkdir()
    commands = {seed: [f"s{seed}", str(tmp_path / "at"), "fail" if seed == 12 else "end"] for seed in (7, 12, 8, 9)}
    with pytest.raises(InputError, match=r"^seed 12: the cable is out$"):
        run_apart(commands, Stop(), program)
    lines = sorted(capsys.readouterr().out.splitlines())
    assert [line.split()[:5] for line in lines] == [
        ["seed", str(seed), "trial", "0", "return"] for seed in sorted((7, 8, 9, 12))
    ]
    assert all(line.endswith("device_count=1 1") for line in lines)
    assert list((tmp_path / "at").iterdir()) == []


def test_an_interrupt_is_handed_on_once_and_no_more_are_begun(program, tmp_path):
    stop, waiting = Stop(), len(cores()) + 1
    commands = {seed: [str(seed), str(tmp_path), "wait"] for seed in range(waiting)}

    def press():
        while len(list(tmp_path.iterdir())) < waiting - 1:
            pass
        stop.press()

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_apart(commands, stop, program)
    thread.join()
    assert len(list(tmp_path.iterdir())) == waiting - 1


def rows(run):
    lines = csv.DictReader((run / "metrics.csv").read_text().splitlines())
    return [{name: float(value) for name, value in row.items() if value} for row in lines]


def untimed(run):
    times = {"plan_ms_p50", "plan_ms_p99", "fit_s", "wall_s"}
    return [{name: value for name, value in row.items() if name not in times} for row in rows(run)]
