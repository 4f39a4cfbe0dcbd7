"""Files that appear whole or not at all, and folders with a configuration."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from handful.errors import InputError

UNFINISHED = ".part"  # ends the name of a file that is still being written


def write_whole(path: Path, content: bytes | str) -> None:
    """Write beside the target, flush to the disk, rename over it: a crash leaves the old file or the new one.

    Raises `InputError` where the folder cannot be written or the disk is full; the old file is untouched then.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); what was written before is whole: make room or "
            "mend the folder and go on, a run with --resume, or choose another place"
        ) from error
    _flush_folder(path.parent)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """As `write_whole`. Numbers that are not finite, which JSON cannot hold, are written as null."""
    finite = json.loads(json.dumps(content), parse_constant=lambda _: None)
    write_whole(path, json.dumps(finite, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Raises `InputError`, which ends with the remedy, where the file is missing or damaged."""
    try:
        return dict(json.loads(path.read_text()).items())
    except (OSError, ValueError, AttributeError, RecursionError) as error:  # brackets may be nested without end
        raise damaged(path, error, remedy) from error


def damaged(path: Path, error: Exception, remedy: str) -> InputError:
    """The complaint about a file that cannot be used."""
    return InputError(f"{path} is missing or damaged ({type(error).__name__}); {remedy}")


def sweep(folder: Path) -> None:
    """Remove what processes that were killed while writing left beside the files below `folder`."""
    for left in folder.rglob(f".*{UNFINISHED}"):
        left.unlink(missing_ok=True)


class Folder:
    """A folder with a configuration."""

    CONFIG = "config.json"
    REMEDY = "restore it, or start a new run"  # where a file is missing or damaged

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config_path(self) -> Path:
        return self.path / self.CONFIG

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    def config(self) -> dict[str, Any]:
        """Raises `InputError` where it is missing or damaged."""
        return read_json(self.config_path, self.REMEDY)

    def write_config(self, config: dict[str, Any]) -> None:
        write_json(self.config_path, config)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
