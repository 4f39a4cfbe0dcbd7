"""What can be known to be wrong with options before JAX is imported, anything is compiled or a system is moved."""

import contextlib
import math
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handful.agents.options.filled import check_least, flag
from handful.cli.options import Check, Compare, Evaluate, Fit, check_seed, stamp
from handful.cli.train_options import Run, given_of
from handful.errors import InputError
from handful.user_code import is_file

LEAST_PARTICLES = 4  # with fewer, a 90 % band of any particles at all counts as covering what is trusted
MOST_TRIALS = 2**31 - 1
HEAD = 1 << 20  # [bytes] of a table in which its header must begin


def check(options: Any) -> None:
    """Raises `InputError` where the options of a command cannot be carried out. Leaves nothing behind."""
    for kind, check_these in CHECKS.items():
        if isinstance(options, kind):
            check_these(options)


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


def check_train(options: Run) -> None:
    """Numbers, the file of the task, the folder to go on with."""
    if (options.task is None) == (options.resume is None):
        raise InputError("name a task, or a run folder with --resume (and not both); `handful tasks` lists the tasks")
    if options.trials is not None and options.trials < 0:
        raise InputError(f"--trials must not be negative, got {options.trials}")
    if options.trials is not None and options.trials > MOST_TRIALS:
        raise InputError(f"--trials must be at most {MOST_TRIALS}, got {options.trials}")
    if options.step_limit is not None and not 0 < options.step_limit < math.inf:
        raise InputError(f"--step-limit must be finite and above zero, got {options.step_limit}")
    check_least(options, "refit_every")
    if options.seed is not None:
        check_seed(options.seed)
    usual, own = type(options)(), getattr(options, "own", None)
    free = {"task", "trials", "resume", "own", "agent", "trust"}
    given = ["agent"] * (options.agent != usual.agent) + list(given_of(own))
    given += [name for name in given_of(options) if name not in free]
    if options.resume is None:
        if options.trust:
            raise InputError("--trust is for --resume: code that you name yourself is run anyway; leave it out")
        check_named(options.task or "")
    elif given:
        raise InputError(
            f"a run goes on with its own options, only --trials can be raised; leave out {', '.join(map(flag, given))}"
        )
    else:
        check_run_folder(options.resume)


def check_named(task: str) -> None:
    """Raises `InputError` where a task is of a file that does not exist."""
    file = task.rpartition(":")[0] or task
    if file.endswith(".py") and not is_file(file):
        raise InputError(f"there is no file {file}; name an environment as path/to/file.py:NAME")


def check_evaluate(options: Evaluate) -> None:
    """Numbers, and the run folder."""
    check_least(options, "episodes")
    check_seed(options.seed)
    check_run_folder(options.run)


def check_run_folder(path: Path) -> None:
    """Raises `InputError` where a folder that `handful train` made is named and there is none."""
    if not any(is_file(path / mark) for mark in ("config.json", "group.json", "checkpoints/state.npz")):
        raise InputError(f"{path} is no run folder (it has no config.json); name one that `handful train` made")


CHECKS: dict[type, Callable[[Any], None]] = {
    Run: check_train, Evaluate: check_evaluate, Fit: check_fit, Compare: check_compare, Check: check_check
}  # fmt: skip


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
    if not is_file(path):
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
