"""Whatever ends a run: the system is closed, what was carried out is saved, children are gone, the lock is released."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handful.data.loaders import load_log
from handful.errors import InputError
from handful.training import lock, run, trust

RIG = """
import os, pathlib, signal, sys, time
import gymnasium, numpy as np

HERE = pathlib.Path(__file__).parent


class Rig(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-9, 9, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))
    resets, time = -2, 0  # the first reset tries the rig

    def __init__(self):
        (HERE / f"open-{os.getpid()}-{id(self)}").touch()

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.resets, self.time = self.resets + 1, 0
        return np.ones(2, np.float32), {}

    def step(self, action):
        self.time += 1
        if self.resets == 1 and self.time == 4:
            END
        PAUSE
        obs = np.asarray([self.time / 10, action[0]], np.float32)
        return obs, float(-obs[1] ** 2), False, self.time == 6, {}

    def close(self):
        (HERE / f"open-{os.getpid()}-{id(self)}").unlink()
"""
WORDS = ["--agent", "mpc", "--model", "linear", "--trials", "2", "--horizon", "2", "--candidates", "8"]
WORDS += ["--elites", "2", "--iterations", "1", "--particles", "1"]
ENDS = {  # what happens in the fourth step of the first controlled trial -> the exit code, and what is said of it
    "pass": (0, ""),
    "raise OSError('cable out')": (2, "rig.py:24: the environment raised OSError (cable out) at step 4 of a trial"),
    "sys.exit(0)": (2, "the environment raised SystemExit (0) at step 4 of a trial"),
    "return np.ones(2, np.float32) * np.nan, 0.0, False, False, {}": (2, "observations must be finite, got nan"),
    "os.kill(os.getpid(), signal.SIGINT)": (130, ""),
    "os.kill(os.getpid(), signal.SIGTERM)": (143, ""),
    "os.kill(os.getpid(), signal.SIGHUP)": (129, ""),
}


def rig(folder, end="pass", pause="pass"):
    folder.mkdir(exist_ok=True)
    (folder / "rig.py").write_text(RIG.replace("END", end).replace("PAUSE", pause))
    return f"{folder}/rig.py:Rig"


def closed(folder):
    return not list(folder.glob("open-*"))


def check_free(folder):
    with lock.locked(folder):
        pass


def steps_of(folder):
    return list(csv.DictReader((folder / "checkpoints" / "interrupted-000.csv").read_text().splitlines()))


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr("handful.reports.run_report.write_report", lambda folder: folder.report_path.write_text(""))
    monkeypatch.setattr("handful.cli.train.write_comparison", lambda *_: Path("compare.html"))


@pytest.mark.parametrize("end", ENDS)
def test_a_run_in_one_process(end, handful, tmp_path):
    code, sentence = ENDS[end]
    said = handful("train", rig(tmp_path / "rig", end), *WORDS, "--out", tmp_path / "run")
    assert (said.code, sentence in said.err) == (code, True), said
    assert closed(tmp_path / "rig")
    check_free(tmp_path / "run")
    folder = run.RunFolder.open(tmp_path / "run")
    assert len(folder.rows()) == (3 if code == 0 else 1)
    assert not (tmp_path / "run" / "checkpoints" / "steps.csv").exists()
    if code == 0:
        assert not list((tmp_path / "run" / "checkpoints").glob("interrupted*"))
        return
    kept = steps_of(tmp_path / "run")
    assert len(kept) >= 3  # those before the fourth, and after a signal those of its piece
    assert [float(row["next_obs obs 0"]) for row in kept[:3]] == pytest.approx([0.1, 0.2, 0.3])
    log = load_log(tmp_path / "run" / "checkpoints" / "interrupted-000.csv")
    assert sum(len(trial.reward) for trial in log.trials.values()) == len(kept)
    rig(tmp_path / "rig")  # mended, which the user has to say
    assert "--trust" in handful("train", "--resume", tmp_path / "run").err
    assert handful("train", "--resume", tmp_path / "run", "--trust").code == 0
    assert len(folder.rows()) == 3


def nobody_reads():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("output", [lambda: os.open("/dev/full", os.O_WRONLY), nobody_reads], ids=["full", "closed"])
def test_output_that_cannot_be_written_ends_nothing(output, handful, tmp_path, monkeypatch):
    with os.fdopen(output(), "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        said = handful("train", rig(tmp_path / "rig"), *WORDS, "--out", tmp_path / "run")
        monkeypatch.undo()
    assert (said.code, said.err.count("\n"), "the run goes on into" in said.err) == (0, 1, True), said
    assert len(run.RunFolder.open(tmp_path / "run").rows()) == 3
    assert closed(tmp_path / "rig")


def test_a_disk_that_is_full_is_told_and_the_steps_are_kept(handful, tmp_path, monkeypatch):
    def full(self, trial, arrays):
        if trial == 1:
            raise InputError(os.strerror(errno.ENOSPC))
        saved(self, trial, arrays)

    saved = run.RunFolder.save_trial
    monkeypatch.setattr(run.RunFolder, "save_trial", full)
    said = handful("train", rig(tmp_path / "rig"), *WORDS, "--out", tmp_path / "run")
    assert (said.code, "No space left" in said.err) == (2, True)
    assert len(steps_of(tmp_path / "run")) == 6
    assert closed(tmp_path / "rig")
    check_free(tmp_path / "run")


def test_a_step_that_hangs_ends_at_its_limit(handful, tmp_path):
    task = rig(tmp_path / "rig", "time.sleep(60)")
    said = handful("train", task, *WORDS, "--step-limit", 0.5, "--out", tmp_path / "run")
    assert said.code == 2
    assert "the environment took longer than 0.5 s for a step" in said.err
    assert closed(tmp_path / "rig")
    assert len(steps_of(tmp_path / "run")) == 3


def started(*words):
    line = [sys.executable, "-m", "handful", "train", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, text=True, start_new_session=True, **pipes)


def until(seen, seconds=90):
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_their_parent(number, tmp_path):
    """Two seeds of a rig that a process each drives; the parent alone gets the signal."""
    task, folder = rig(tmp_path / "rig", pause="time.sleep(0.3)"), tmp_path / "group"
    process = started(task, *WORDS, "--seeds", "0-1", "--out", folder)
    until(lambda: process.poll() is not None or (folder / "seed-0" / "checkpoints" / "steps.csv").exists())
    os.kill(process.pid, number)
    process.communicate(timeout=90)
    assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    until(lambda: closed(tmp_path / "rig"))
    for seed in (0, 1):
        until(lambda seed=seed: unlocked(folder / f"seed-{seed}"))
    check_free(folder)


def unlocked(folder):
    if not folder.exists():
        return True
    try:
        check_free(folder)
    except InputError:
        return False
    return True


def test_asked_twice_a_run_closes_its_system_at_once(tmp_path):
    process = started(rig(tmp_path / "rig", pause="time.sleep(0.3)"), *WORDS, "--out", tmp_path / "run")
    until(lambda: process.poll() is not None or (tmp_path / "run" / "checkpoints" / "steps.csv").exists())
    until(lambda: len((tmp_path / "run" / "checkpoints" / "steps.csv").read_text().splitlines()) > 1)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert closed(tmp_path / "rig")


def test_a_folder_in_use_is_refused(handful, tmp_path):
    assert handful("train", rig(tmp_path / "rig"), *WORDS, "--trials", 0, "--out", tmp_path / "run").code == 0
    with lock.locked(tmp_path / "run"):
        said = handful("train", "--resume", tmp_path / "run", "--trials", 1)
    assert (said.code, "is in use by another process" in said.err) == (2, True)


def test_code_that_was_never_run_here_is_run_only_where_it_is_trusted(handful, tmp_path, monkeypatch):
    """The run folder of somebody else; a fit needs what the folder records, and no code."""
    task, folder = rig(tmp_path / "rig"), tmp_path / "run"
    assert handful("train", task, *WORDS, "--trials", 1, "--out", folder).code == 0
    (tmp_path / "rig" / "rig.py").rename(tmp_path / "gone.py")
    assert handful("evaluate", folder, "--episodes", 1).code == 0  # by the run's copy
    assert handful("fit", folder, "--model", "linear", "--horizon", 2, "--out", tmp_path / "model").code == 0
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["names"], config["timed"], config["dt"]) == (["obs 0", "obs 1", "reward", "terminated"], True, 1.0)
    monkeypatch.setattr(trust, "known", lambda digest: None)
    for words in (["evaluate", folder, "--episodes", 1], ["train", "--resume", folder, "--trials", 2]):
        said = handful(*words)
        assert (said.code, "was never run here; look at it, and give --trust" in said.err) == (2, True)
    assert handful("evaluate", folder, "--episodes", 1, "--trust").code == 0


def test_a_lost_configuration_comes_back_and_a_changed_one_is_refused(handful, tmp_path):
    folder = tmp_path / "run"
    assert handful("train", rig(tmp_path / "rig"), *WORDS, "--trials", 1, "--out", folder).code == 0
    text = (folder / "config.json").read_text()
    (folder / "config.json").unlink()
    assert handful("train", "--resume", folder, "--trials", 2).code == 0
    assert (folder / "config.json").read_text() == text.replace('"trials": 1', '"trials": 2')
    for old, new, name in (('"seed": 0', '"seed": 3', "'seed'"), ('"horizon": 2,', '"horizon": 3,', "'horizon'")):
        (folder / "config.json").write_text(text.replace(old, new))
        said = handful("train", "--resume", folder, "--trials", 3)
        assert (said.code, f"{name} is " in said.err, "in the checkpoint" in said.err) == (2, True, True), said


def test_another_number_of_devices_is_told(handful, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    assert handful("train", rig(tmp_path / "rig"), *WORDS, "--trials", 0, "--out", folder).code == 0
    monkeypatch.setattr("jax.device_count", lambda: 7)
    assert "goes on with 7: its numbers will differ" in handful("train", "--resume", folder, "--trials", 1).out
