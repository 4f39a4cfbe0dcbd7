"""A tiny run that every test of the command line shares, and a way to see what a command says."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from handful.cli.main import main

TINY = {
    "members": 2, "particles": 2, "horizon": 5, "candidates": 20, "iterations": 1, "trials": 2, "fit-steps": 30
}  # fmt: skip
WORDS = [word for name, value in TINY.items() for word in (f"--{name}", str(value))]


@dataclasses.dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def handful(capsys):
    """Run a command in this process."""

    def run(*words) -> Said:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code or 0
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(handful):
    """Run a command that must be refused: the sentence that it says."""

    def run(*words) -> str:
        said = handful(*words)
        assert said.code == 2, said
        assert said.out == ""
        assert said.err.startswith("handful: ")
        assert said.err.count("\n") == 1
        assert said.err.endswith("\n")
        return said.err.removeprefix("handful: ").strip()

    return run


@pytest.fixture
def tiny() -> list[str]:
    """Options that make a run short: two controlled trials, milliseconds each."""
    return list(WORDS)


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A finished run. Never written to: take a copy (`finished`) for that."""
    folder = tmp_path_factory.mktemp("made") / "run"
    assert main(["train", "point-mass", *WORDS, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def group(tmp_path_factory) -> Path:
    """A finished group of two seeds, the first that of `made`. Never written to, as `made`."""
    folder = tmp_path_factory.mktemp("made") / "group"
    assert main(["train", "point-mass", *WORDS, "--seeds", "0,5", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def finished(made, tmp_path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture
def contents():
    """Every file below a folder, with its bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read
