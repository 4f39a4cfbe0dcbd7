"""The real command, killed and interrupted: nothing is lost, and the run ends as if nothing had happened."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

TIMES = {"plan_ms_p50", "plan_ms_p99", "fit_s", "wall_s"}
KILLS = 10  # at moments that are uniform over the length of a run


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Start the command, with one compilation cache for all starts of this file."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    running = []

    def start(*words) -> subprocess.Popen:
        line = [sys.executable, "-m", "handful.cli.main", *map(str, words)]
        process = subprocess.Popen(
            line,
            env=os.environ | cache,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_metrics(command, tiny, tmp_path):
    words = ["point-mass", *tiny, "--refit-every", "25"]
    command("train", *words, "--out", tmp_path / "first").communicate()  # fills the cache
    began = time.perf_counter()
    assert command("train", *words, "--out", tmp_path / "whole").wait() == 0
    length, draw, killed, runs = time.perf_counter() - began, random.Random(11), 0, []

    def go_on(run: Path) -> subprocess.Popen:
        resumable = (run / "config.json").exists()
        return command("train", *(["--resume", run] if resumable else [*words, "--out", run]))

    while killed < KILLS:
        run = tmp_path / f"run-{len(runs)}"
        runs.append(run)
        process = go_on(run)
        while not finished(process, draw.uniform(0, length)):
            kill(process)
            killed += 1
            check_whole(run)
            process = go_on(run)
    for place in ("checkpoints", "figures/*.png", "report.html"):  # while making the folder, and while drawing
        run = tmp_path / f"run-{len(runs)}"
        runs.append(run)
        process = go_on(run)
        while not list(run.glob(place)):
            time.sleep(1e-3)
        kill(process)
        check_whole(run)
    for run in runs:
        if not (run / "summary.json").exists() or not (run / "report.html").exists():
            out, err = go_on(run).communicate()
            assert err == ""
            assert f"{run}/report.html" in out
        assert untimed(run) == untimed(tmp_path / "whole")
        assert "baselines" in json.loads((run / "summary.json").read_text())


def test_a_kill_in_a_trial_resumes_at_that_trial(command, tiny, tmp_path):
    process = command("train", "point-mass", *tiny, "--refit-every", "25", "--out", tmp_path / "run")
    read_until(process, "trial  1")
    kill(process)
    done = len(untimed(tmp_path / "run"))
    assert done >= 1
    out, _ = command("train", "--resume", tmp_path / "run").communicate()
    assert [line.split()[1] for line in out.splitlines() if line.startswith("trial ")] == [
        str(trial) for trial in range(done, 3)
    ]


@pytest.mark.slow
def test_rounds_killed_and_interrupted_end_with_the_same_metrics(command, tmp_path):
    """Killed after the first round, resumed, interrupted after the second, resumed again."""
    words = ["train", "point-mass", "--agent", "ppo", "--steps", 6000, "--trials", 4]
    assert command(*words, "--out", tmp_path / "whole").wait() == 0
    run = tmp_path / "run"
    process = command(*words, "--out", run)
    read_until(process, "round  1")
    kill(process)
    check_whole(run)
    process = command("train", "--resume", run)
    read_until(process, "round  2")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    if process.returncode == 130:  # else it was through already
        assert err == ""
        assert f"of 5 rounds are safe; go on with: handful train --resume {run}" in out
    check_whole(run)
    out, err = command("train", "--resume", run).communicate()
    assert err == ""
    assert f"{run}/report.html" in out
    assert untimed(run) == untimed(tmp_path / "whole")
    assert len(untimed(run)) == 5


@pytest.mark.parametrize("presses", [1, 2])
def test_an_interrupted_run_says_how_to_go_on(presses, command, tmp_path):
    """Ctrl-C in the first fit or in what compiles around it."""
    run = tmp_path / "run"
    process = command("train", "point-mass", "--trials", 3, "--candidates", 20, "--out", run)
    read_until(process, "trial  0")
    time.sleep(0.3)
    began = time.perf_counter()
    for _ in range(presses):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.perf_counter() - began < 15  # seconds: a fit or a compilation ends first, here on a busy machine
    assert "Traceback" not in err
    if presses == 1:
        assert err == ""
        assert f"1 of 4 trials are safe; go on with: handful train --resume {run}" in out
    check_whole(run)
    assert len(untimed(run)) == 1


@pytest.mark.slow
def test_a_group_killed_and_interrupted_ends_with_the_same_metrics(command, tmp_path):
    """Three seeds: killed after the first trial, resumed, interrupted after the second, resumed again."""
    small = ["--model", "linear", "--horizon", 3, "--candidates", 6, "--iterations", 1, "--particles", 2]
    words = ["train", "point-mass", *small, "--trials", 3, "--seeds", "1-2,7"]
    assert command(*words, "--out", tmp_path / "whole").wait() == 0
    process = command(*words, "--out", tmp_path / "group")
    read_until(process, "trial  1")
    kill(process)
    process = command("train", "--resume", tmp_path / "group")
    read_until(process, "trial  2")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert f"9 of 12 trials are safe; go on with: handful train --resume {tmp_path / 'group'}" in out
    out, err = command("train", "--resume", tmp_path / "group").communicate()
    assert err == ""
    assert [line.split()[1] for line in out.splitlines() if line.startswith("trial ")] == ["3"]
    for seed in (1, 2, 7):
        one, other = (tmp_path / name / f"seed-{seed}" for name in ("group", "whole"))
        assert untimed(one) == untimed(other)
        assert len(untimed(one)) == 4
        check_whole(one)
        assert (one / "report.html").exists()


@pytest.mark.parametrize("wait", [0.4, 0.9, 1.6])
def test_an_interrupt_before_the_run_begins_is_heard_and_leaves_no_half_made_folder(wait, command, tiny, tmp_path):
    process = command("train", "point-mass", *tiny, "--out", tmp_path / "run")
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    if wait > 0.5:  # before that Python may still import, and answers in its own way
        assert process.returncode == 130
        assert "Traceback" not in err
        assert "trials are safe" in out or err == "handful: stopped\n"
    assert not (tmp_path / "run").exists() or (tmp_path / "run" / "config.json").exists()


def test_a_full_disk_is_told_and_loses_nothing(command, tiny, tmp_path):
    """Files may not grow past 40 kB: the configuration fits, the first checkpoint does not."""
    run = tmp_path / "run"
    program = (
        "import resource, signal, sys; from handful.cli.main import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    line = [sys.executable, "-c", program, "train", "point-mass", *tiny, "--out", str(run)]
    environment = os.environ | {"HANDFUL_COMPILATION_CACHE": "0"}
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("handful: ")
    assert ended.stderr.count("\n") == 1
    assert "cannot be written (File too large)" in ended.stderr
    assert "--resume" in ended.stderr
    check_whole(run)
    assert not list(run.rglob(".*"))
    assert command("train", "--resume", run).wait() == 0
    check_whole(run)
    assert len(untimed(run)) == 3


def finished(process: subprocess.Popen, seconds: float) -> bool:
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    assert process.returncode == 0, out + err
    return True


def kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def read_until(process: subprocess.Popen, start: str) -> None:
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(process.stderr.read())


def check_whole(run: Path) -> None:
    """Every file that has its final name can be read to its end."""
    for path in run.rglob("*"):
        if path.name.startswith(".") or path.is_dir():
            continue
        if path.suffix == ".npz":
            assert zipfile.ZipFile(path).testzip() is None
        elif path.suffix == ".json":
            json.loads(path.read_text())
        else:
            ends = {".csv": b"\n", ".png": b"IEND\xaeB`\x82", ".gif": b";", ".html": b"</html>\n"}
            assert path.read_bytes().endswith(ends[path.suffix])


def untimed(run: Path) -> list[dict[str, str]]:
    """The metrics, as they are written, without the times."""
    rows = csv.DictReader((run / "metrics.csv").read_text().splitlines())
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
