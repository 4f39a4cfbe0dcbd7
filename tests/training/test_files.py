"""A file is there whole or not at all, whatever happens while it is written."""

import errno
import os
from pathlib import Path

import pytest

from handful.errors import InputError
from handful.training.files import sweep, write_whole


class Killed(BaseException):
    """What a test raises where a process would end."""


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "metrics.csv"
    write_whole(path, "old\n")
    return path


def fail(error):
    def call(*_, **__):
        raise error

    return call


@pytest.mark.parametrize("content", ["x = −3\n", b"\x00\xff", "", b"z" * 3_000_000])
def test_what_is_written_is_read(content, tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_whole(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("place", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), InputError, "No space left on device"),
        (OSError(errno.EIO, "Input/output error"), InputError, "Input/output error"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(place, error, expected, words, *, file, monkeypatch):
    monkeypatch.setattr(place, fail(error))
    with pytest.raises(expected) as raised:
        write_whole(file, "new\n")
    assert words in str(raised.value)
    if expected is InputError:
        assert str(file) in str(raised.value)
        assert "\n" not in str(raised.value)
    assert file.read_text() == "old\n"
    assert [each.name for each in file.parent.iterdir()] == ["metrics.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk(file, monkeypatch):
    opened = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: opened(Path("/dev/full"), mode))
        with pytest.raises(InputError, match="No space left on device"):
            write_whole(file, "new\n")
    assert file.read_text() == "old\n"


def test_between_write_and_rename_the_old_file_is_there(file, monkeypatch):
    seen = []
    replace = Path.replace

    def look(self, target):
        seen.append((file.read_text(), self.read_text()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    write_whole(file, "new\n")
    assert seen == [("old\n", "new\n")]
    assert file.read_text() == "new\n"


@pytest.mark.parametrize("below", ["file/metrics.csv", "/proc/nowhere/metrics.csv"])
def test_a_folder_that_cannot_be_made_is_named(below, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match=r"metrics\.csv cannot be written"):
        write_whole(tmp_path / below, "new\n")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_file_system_that_cannot_flush_folders_is_good_enough(file, monkeypatch):
    flush = os.fsync

    def only_files(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    write_whole(file, "new\n")
    assert file.read_text() == "new\n"


def test_permissions_are_the_users(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_what_a_killed_process_left_is_swept(file):
    (file.parent / "checkpoints").mkdir()
    left = file.parent / "checkpoints" / ".state.npz.4711.part"
    left.write_bytes(b"half")
    sweep(file.parent)
    assert not left.exists()
    assert file.read_text() == "old\n"
