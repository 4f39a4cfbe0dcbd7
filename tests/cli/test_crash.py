"""The real command, killed and interrupted: nothing is lost, and the run ends as if nothing had happened."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import jax
import pytest

TIMES = {"plan_ms_p50", "plan_ms_p99", "fit_s", "wall_s"}
SMALL = ["--horizon", 3, "--candidates", 6, "--iterations", 1, "--particles", 2, "--trials", 3]
KINDS = {  # what the parts of a run are called, the run folders in its folder, options
    "planning": ("trial", ("",), ["--members", 2, "--fit-steps", 30, "--refit-every", 25, *SMALL]),
}


@pytest.fixture(scope="module")
def command():
    """Start the command in a process of its own, which shares the tests' compiled programs."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    running = []

    def start(*words, then=()) -> subprocess.Popen:
        program = f"from handful.cli.main import main; raise SystemExit(main({list(map(str, words))})"
        program += f" or main({list(map(str, then))}))" if then else ")"
        line = [sys.executable, "-c", program]
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
    """Killed after the first trial or round, resumed, interrupted after the second, resumed again.

    The process of the last resumption makes the undisturbed run too, so that none has to start for it.
    """
    unit, places, words = KINDS[kind]
    whole, run = tmp_path / "whole", tmp_path / "run"
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
    process = command("train", "--resume", run, then=["train", "point-mass", *words, "--out", whole])
    out, err = process.communicate()
    assert process.returncode == 0
    assert err == ""
    assert f"evaluate {run}" in out
    for place in places:
        check_whole(run / place)
        assert untimed(run / place) == untimed(whole / place)
        assert len(untimed(run / place)) == 4
        assert (run / place / "report.html").exists()


def test_an_interrupted_run_says_how_to_go_on(command, tmp_path):
    """Ctrl-C in the first fit or in what compiles around it."""
    run = tmp_path / "run"
    process = command("train", "point-mass", "--trials", 3, "--candidates", 20, "--out", run)
    read_until(process, "trial  0")
    time.sleep(0.3)
    began = time.perf_counter()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.perf_counter() - began < 15  # seconds: a fit or a compilation ends first, here on a busy machine
    assert "Traceback" not in err
    assert err == ""
    assert f"1 of 4 trials are saved; continue with: handful train --resume {run}" in out
    check_whole(run)
    assert len(untimed(run)) == 1


@pytest.mark.parametrize("wait", [1.6])
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


def test_a_full_disk_is_told_and_loses_nothing(handful, tiny, tmp_path):
    """Files may not grow past 40 kB: the configuration fits, the first checkpoint does not."""
    run = tmp_path / "run"
    limits, least = resource.getrlimit(resource.RLIMIT_FSIZE), jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)  # no half of a program goes into the cache
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        said = handful("train", "point-mass", *tiny, "--out", run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    assert said.code == 2
    assert said.err.startswith("handful: ")
    assert said.err.count("\n") == 1
    assert "cannot be written (File too large)" in said.err
    assert "--resume" in said.err
    check_whole(run)
    assert not list(run.rglob(".*"))
    assert handful("train", "--resume", run).code == 0
    check_whole(run)
    assert len(untimed(run)) == 3


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
