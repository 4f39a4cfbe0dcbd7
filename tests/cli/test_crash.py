"""The real command, killed and interrupted: nothing is lost, and the run ends as if nothing had happened."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

TIMES = {"plan_ms_p50", "plan_ms_p99", "fit_s", "wall_s"}
SMALL = ["--horizon", 3, "--candidates", 6, "--iterations", 1, "--particles", 2, "--trials", 3]
KINDS = {  # what the parts of a run are called, the run folders in its folder, options
    "planning": ("trial", ("",), ["--members", 2, "--fit-steps", 30, "--refit-every", 25, *SMALL]),
    "rounds": ("round", ("",), ["--agent", "ppo", "--steps", 6000, "--trials", 3]),
    "seeds": ("trial", ("seed-1", "seed-2", "seed-7"), ["--model", "linear", "--seeds", "1-2,7", *SMALL]),
}


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
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_and_interrupted_ends_with_the_same_metrics(kind, command, tmp_path):
    """Killed after the first trial or round, resumed, interrupted after the second, resumed again."""
    unit, places, words = KINDS[kind]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert command("train", "point-mass", *words, "--out", whole).wait() == 0
    process = command("train", "point-mass", *words, "--out", run)
    read_until(process, f"{unit}  1")
    kill(process)
    for place in places:
        check_whole(run / place)
    process = command("train", "--resume", run)
    read_until(process, f"{unit}  2")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    if process.returncode == 130:  # else it had finished already
        assert err == ""
        assert f"{unit}s are saved; continue with: handful train --resume {run}" in out
    out, err = command("train", "--resume", run).communicate()
    assert err == ""
    assert f"evaluate {run}" in out
    for place in places:
        check_whole(run / place)
        assert untimed(run / place) == untimed(whole / place)
        assert len(untimed(run / place)) == 4
        assert (run / place / "report.html").exists()


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
        assert f"1 of 4 trials are saved; continue with: handful train --resume {run}" in out
    check_whole(run)
    assert len(untimed(run)) == 1


@pytest.mark.parametrize("wait", [0.4, 0.9, 1.6])
def test_an_interrupt_before_the_run_begins_is_heard_and_leaves_no_half_made_folder(wait, command, tiny, tmp_path):
    process = command("train", "point-mass", *tiny, "--out", tmp_path / "run")
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    if wait > 0.5:  # before that Python may still import, and answers in its own way
        assert process.returncode == 130
        assert "Traceback" not in err
        assert "trials are saved" in out or err == "handful: stopped\n"
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
