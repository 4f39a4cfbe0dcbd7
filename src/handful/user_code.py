"""A user's own parts: run a file, and take from it the object that `path/to/file.py:NAME` stands for."""

import contextlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from handful.errors import InputError

PREFIX = "handful_own_"  # of the module that a file becomes


def is_own(name: str) -> bool:
    """True if a name stands for something in a user's file.

    >>> is_own("rig.py:Planner"), is_own("icem")
    (True, False)
    """
    return ":" in name or name.endswith(".py")


def is_file(path: Path | str) -> bool:
    """True if there is such a file; false too where a name is too long, for which `Path.is_file` raises."""
    return os.path.isfile(path)  # noqa: PTH113


def absolute(name: str) -> str:
    """The name of something in a user's file that holds in every directory; any other name as it is.

    >>> absolute("/opt/rig.py:Rig"), absolute("pendulum")
    ('/opt/rig.py:Rig', 'pendulum')
    """
    path = name.rpartition(":")[0] or name
    return str(Path(name).absolute()) if is_file(path) else name


@contextlib.contextmanager
def answering(sentence: Callable[[BaseException], str]) -> Iterator[None]:
    """Turns all that a user's code raises into an `InputError` with this sentence, `sys.exit` too; Ctrl-C passes.

    Code that calls `sys.exit`, as drivers of devices do, would otherwise end a run without a word.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise InputError(sentence(error)) from error


def own(name: str, base: type, what: str, hints: Mapping[type, str] | None = None) -> Any:
    """The `base` that `path/to/file.py:NAME` stands for: an instance, or a class or function that makes one.

    `what` names it in messages; `hints` say, for likely mistakes by their type, what is wanted instead. The file is
    run, so load only what you trust.

    Raises `InputError` where the file or the name is missing, the file or the maker raises, or it makes no `base`.
    """
    path, _, member = name.rpartition(":") if ":" in name else (name, "", "")
    value = member_of(Path(path), member, what)
    made = value if isinstance(value, base) else instantiated(name, value)
    if isinstance(made, base):
        return made
    hint = next((f": {text}" for kind, text in (hints or {}).items() if isinstance(made, kind)), "")
    verb = "is" if made is value else "makes"
    raise InputError(f"{name} must be {article(base.__name__)} (or a class or function that makes one) to serve as "
                     f"{what}, but {verb} {article(type(made).__name__)}{hint}")  # fmt: skip


def member_of(path: Path, member: str, what: str) -> Any:
    """A module-level name of a file. Raises `InputError` as `own` does."""
    if not is_file(path):
        raise InputError(f"there is no file {path}; name {what} as path/to/file.py:NAME")
    module = module_of(path)
    if member in vars(module):
        return vars(module)[member]
    names = ", ".join(name for name, value in vars(module).items() if _defined_in(module, value)) or "no class"
    if not member:
        raise InputError(f"{path} needs the name of {what} in it, as {path}:NAME; it defines {names}")
    raise InputError(f"{path} has no {member!r}; it defines {names}")


def module_of(path: Path, prefix: str = PREFIX) -> ModuleType:
    """Run a file; what lies beside it can be imported, then and later. Raises `InputError` where it raises."""
    name = prefix + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file; give path/to/file.py:NAME")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    folder = str(path.resolve().parent)
    known = Neighbours.beside(folder)
    try:
        with answering(_raised(str(path), "when imported", path)):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        if not known:
            Neighbours.folders.remove(folder)
        raise
    return module


class Neighbours:
    """Finds modules that lie beside users' files, if nobody else does.

    It stays for the life of the process, since a helper may be imported as late as in a `step`; and it is asked last,
    so that a user's `random.py` does not hide that of the standard library.
    """

    folders: ClassVar[list[str]] = []

    @classmethod
    def beside(cls, folder: str) -> bool:
        """Look in this folder too; returns true if it was looked in before."""
        if cls not in sys.meta_path:
            sys.meta_path.append(cls)
        known = folder in cls.folders
        if not known:
            cls.folders.append(folder)
        return known

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """What `import` asks a finder; `path` is that of a parent package."""
        return PathFinder.find_spec(name, cls.folders, target) if path is None else None


def instantiated(name: str, maker: Any, **arguments: Any) -> Any:
    """What a class or function makes without arguments of the user's; anything else as it is.

    Raises `InputError` where it takes more arguments than `arguments`, or raises.
    """
    if not callable(maker):
        return maker
    path = Path(name.rpartition(":")[0])
    try:
        inspect.signature(maker).bind()
    except (TypeError, ValueError):
        raise InputError(
            f"{name} must be made without arguments, but takes {signature_of(maker)}; give them defaults, or name a "
            "function without arguments that makes it"
        ) from None
    with answering(_raised(name, "when made", path)):
        return maker(**arguments)


def line_of(path: Path, error: BaseException) -> int:
    """The line of a user's file that an exception came from; 1 if none did."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 1
    return _last_line(path, error) or 1


def place_of(kind: type, error: BaseException) -> str:
    """The file in which a class is defined and the line in it that an exception came from, as `file:line: `, or "".

    >>> place_of(int, ValueError())
    ''
    """
    try:
        path = Path(inspect.getfile(kind))
    except (TypeError, OSError):
        return ""
    line = _last_line(path, error)
    return "" if line is None else f"{path}:{line}: "


def one_line(error: BaseException) -> str:
    """The message of an exception as part of a sentence."""
    try:
        message = str(error)
    except Exception as another:  # noqa: BLE001  # an exception class of the user's own
        message = f"its message raised {type(another).__name__}"
    return " ".join(message.split()).rstrip(".") or "no message"


def article(name: str) -> str:
    """A type's name with its article.

    >>> article("AbstractEnv"), article("TwoTanks")
    ('an AbstractEnv', 'a TwoTanks')
    """
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def signature_of(value: Any) -> str:
    """The arguments of a function or class, for a message."""
    try:
        return str(inspect.signature(value))
    except (TypeError, ValueError):
        return "arguments that cannot be inspected"


def _last_line(path: Path, error: BaseException) -> int | None:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return next((line for line in reversed(lines) if line), None)


def _raised(name: str, when: str, path: Path) -> Callable[[BaseException], str]:
    """The sentence on an exception that came from a line of a user's file."""

    def sentence(error: BaseException) -> str:
        if isinstance(error, InputError):
            return f"{name}: {error}"
        return f"{name} raised {type(error).__name__} {when}, at line {line_of(path, error)}: {one_line(error)}"

    return sentence


def _defined_in(module: ModuleType, value: Any) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__
