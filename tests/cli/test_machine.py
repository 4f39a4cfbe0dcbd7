"""Machines of all kinds: no home, no UTF-8, double precision by a variable, a working directory with odd files."""

import os
import re
import subprocess
from pathlib import Path

import jax
import pytest

from handful.cli import memory, runtime
from handful.cli.configuration import built, configured
from handful.cli.processes import PROGRAM
from handful.cli.train_options import options_for
from handful.envs.point_mass import PointMass
from handful.errors import InputError
from handful.training import trust


def ran(*words, cwd=None, **variables):
    line = [*PROGRAM, *words]
    return subprocess.run(line, env=os.environ | variables, cwd=cwd, capture_output=True, check=False)


def test_help_is_shown_on_a_terminal_that_knows_ascii_alone():
    said = ran("train", "--help", PYTHONIOENCODING="ascii")
    assert (said.returncode, said.stderr) == (0, b"")
    assert b"--trials" in said.stdout


def test_files_of_the_working_directory_do_not_hide_the_standard_librarys(tmp_path):
    for name in ("random", "json", "handful"):
        (tmp_path / f"{name}.py").write_text("raise ValueError('not meant')")
    said = ran("tasks", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, b"")


def test_a_variable_names_our_folder_if_it_is_an_absolute_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, folder in (
        ("/somewhere", "/somewhere/handful"),
        ("", tmp_path / "c/handful"),
        ("x", tmp_path / "c/handful"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert trust.home_folder("XDG_CACHE_HOME", "c") == Path(folder)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert trust.home_folder("XDG_CACHE_HOME", "c") == tmp_path / "c" / "handful"


def test_without_a_home_nothing_is_kept_and_nothing_fails(monkeypatch, tmp_path):
    def none():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    monkeypatch.delenv("XDG_STATE_HOME")
    file = tmp_path / "rig.py"
    file.write_text("pass")
    trust.remember(file)
    assert trust.known(trust.digest_of(file)) is None
    assert trust.home_folder("XDG_CACHE_HOME", ".cache") is None
    runtime.start()


def test_what_was_run_here_is_remembered_by_its_content(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "rig.py"
    file.write_text("pass")
    assert trust.known(trust.digest_of(file)) is None
    trust.remember(file)
    assert trust.known(trust.digest_of(file)) == tmp_path
    file.write_text("pass  # and more")
    assert trust.known(trust.digest_of(file)) is None
    assert trust.known("../rig.py") is None


def test_double_precision_by_a_variable_is_recorded_and_a_run_keeps_its_own():
    options = options_for(["--agent", "mpc"])(task="point-mass", agent="mpc", trials=1)
    single = configured(options)
    try:
        runtime.use_float64()  # as JAX_ENABLE_X64=1 does
        assert (single["float64"], configured(options)["float64"]) == (False, True)
        built(single)
        assert not jax.config.read("jax_enable_x64")
    finally:
        runtime.use_float64(use=False)


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ZeroDivisionError("of nothing"), 1, r"unexpected ZeroDivisionError: of nothing; .* the traceback in (\S+)\n"),
        (MemoryError("4 PiB"), 2, r"there is not enough memory \(4 PiB\); choose smaller sizes"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), 2, "there is not enough memory"),
        (PermissionError(13, "Permission denied", "f.csv"), 1, "unexpected PermissionError: .*f.csv"),
        (RecursionError("too deep"), 1, "unexpected RecursionError"),
    ],
)
def test_an_error_that_nobody_foresaw_is_one_sentence(error, code, sentence, handful, monkeypatch):
    def fails(options):
        raise error

    monkeypatch.setattr("handful.cli.tasks.run", fails)
    said = handful("tasks")
    found = re.match(f"handful: {sentence}", said.err)
    assert (said.code, said.err.count("\n"), found is not None) == (code, 1, True), said
    if found and found.groups():
        saved = Path(found[1])
        assert "ZeroDivisionError: of nothing" in saved.read_text()
        saved.unlink()


def test_sizes_are_compared_with_the_memory_that_is_free(monkeypatch):
    entry = options_for(["--agent", "mpc"])
    options = entry(task="point-mass", agent="mpc").own
    task = PointMass().task
    monkeypatch.setattr(memory, "free_bytes", lambda: 1e9)
    resolved = type(options)(candidates=1000, particles=100, hidden=(500,), horizon=5)
    memory.check_memory(resolved, task)
    with pytest.raises(InputError, match=r"--particles 1000 need about 1\.9 GiB of memory, and 0\.9"):
        memory.check_memory(type(options)(candidates=1000, particles=1000, hidden=(500,), horizon=5), task)
