"""What can be known to be wrong with options before JAX is imported, anything is compiled or a system is moved."""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handful.agents.options.filled import check_least
from handful.cli.options import Check, Compare, Fit, check_seed, stamp
from handful.errors import InputError

LEAST_PARTICLES = 4  # with fewer, a 90 % band of any particles at all counts as covering what is trusted
HEAD = 1 << 20  # [bytes] of a table in which its header must begin


def check(options: Any) -> None:
    """Raises `InputError` where the options of a command cannot be carried out. Leaves nothing behind."""
    CHECKS.get(type(options), lambda options: None)(options)


def check_fit(options: Fit) -> None:
    """Sizes, the file of the data, and the folder of the model."""
    check_least(options, "horizon")
    check_least(options, "particles", least=LEAST_PARTICLES)
    check_seed(options.seed)
    _check_data(options.data)
    path = model_path(options)
    if os.path.lexists(path / "config.json"):
        raise InputError(f"{path} already holds a run or a model; choose another folder with --out")
    check_folder(path, inner=("checkpoints", "figures"))


def check_compare(options: Compare) -> None:
    """The folder of the page."""
    if options.out is not None:
        check_folder(options.out, inner=("figures",))


def check_check(options: Check) -> None:
    """Sizes, and the file of the findings."""
    check_least(options, "trials", "steps")
    check_seed(options.seed)
    if options.json is not None:
        _check_writable(options.json.parent, f"--json {options.json} cannot be written", "choose another file")
        if options.json.is_dir():
            raise InputError(f"--json {options.json} is a folder; name a file")


CHECKS: dict[type, Callable[[Any], None]] = {Fit: check_fit, Compare: check_compare, Check: check_check}


def model_path(options: Fit) -> Path:
    """The folder of the model."""
    return options.out or Path("models") / f"{options.data.resolve().stem}-{stamp()}"


def check_folder(path: Path, *, inner: tuple[str, ...] = ()) -> None:
    """Raises `InputError` unless the folder, with the folders `inner` in it, can be made and written into."""
    _check_writable(path, f"--out {path} cannot be a folder to write into", "choose another one with --out")
    for folder in (path / name for name in inner):
        if os.path.lexists(folder) and not folder.is_dir():
            raise InputError(f"{folder} is in the way of a folder of that name; choose another folder with --out")


def _check_writable(path: Path, complaint: str, remedy: str) -> None:
    """Make the folder and a file in it, and remove both."""
    missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise InputError(f"{complaint} ({getattr(error, 'strerror', None) or error}); {remedy}") from error
    finally:
        for folder in missing:
            with contextlib.suppress(OSError, ValueError):
                folder.rmdir()


def _check_data(path: Path) -> None:
    """The plainest faults of a log; `load_log` reads it, and finds all others."""
    if os.path.isdir(path):  # noqa: PTH112 -- Path.is_dir raises where a name is too long
        return
    if not os.path.isfile(path):  # noqa: PTH113 -- likewise
        raise InputError(f"{path} does not exist; give a run folder, an .npz or a .csv")
    kind = path.suffix.lower()
    if kind not in {".npz", ".csv", ".tsv"}:
        raise InputError(f"{path} has an unknown format; give a run folder, an .npz or a .csv")
    if kind == ".npz":
        return
    try:
        with path.open("rb") as file:
            head = file.read(HEAD).replace(b"\0", b"").decode("latin-1")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); write it again as text") from error
    first = next((line for line in head.splitlines() if line.strip()), "")
    if first and not all(name in head.lower() for name in ("obs", "action")):
        found = ", ".join(cell.strip() for cell in re.split(r"[,;\t|]", first)[:20])
        raise InputError(f"{path} must have columns whose names begin with obs and with action, and it has {found}")
