"""A user's own parts: run a file, and take from it the object that `path/to/file.py:NAME` stands for."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from handful.errors import InputError

PREFIX = "handful_own_"  # of the module that a file becomes


def is_own(name: str) -> bool:
    """True if a name stands for something in a user's file.

    >>> is_own("rig.py:Planner"), is_own("icem")
    (True, False)
    """
    return ":" in name or name.endswith(".py")


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
    if not path.is_file():
        raise InputError(f"there is no file {path}; name {what} as path/to/file.py:NAME")
    module = module_of(path)
    if member and hasattr(module, member):
        return getattr(module, member)
    names = ", ".join(name for name, value in vars(module).items() if _defined_in(module, value)) or "no class"
    if not member:
        raise InputError(f"{path} needs the name of {what} in it, as {path}:NAME; it defines {names}")
    raise InputError(f"{path} has no {member!r}; it defines {names}")


def module_of(path: Path, prefix: str = PREFIX) -> ModuleType:
    """Run a file as `python FILE` would: what lies beside it can be imported. Raises `InputError` where it raises."""
    name = prefix + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file; give path/to/file.py:NAME")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(
            f"{path} raised {type(error).__name__} when imported, at line {line_of(path, error)}: {one_line(error)}"
        ) from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    return module


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
            f"{name} must be made without arguments, but takes {_signature(maker)}; give them defaults, or name a "
            "function without arguments that makes it"
        ) from None
    try:
        return maker(**arguments)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{name} raised {type(error).__name__} when made, at line {line_of(path, error)}: {one_line(error)}"
        ) from error


def line_of(path: Path, error: BaseException) -> int:
    """The line of a user's file that an exception came from."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return next((line for line in reversed(lines) if line), 1)


def one_line(error: BaseException) -> str:
    """The message of an exception as part of a sentence."""
    return " ".join(str(error).split()).rstrip(".") or "no message"


def article(name: str) -> str:
    """A type's name with its article.

    >>> article("AbstractEnv"), article("TwoTanks")
    ('an AbstractEnv', 'a TwoTanks')
    """
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _defined_in(module: ModuleType, value: Any) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__


def _signature(value: Any) -> str:
    try:
        return str(inspect.signature(value))
    except (TypeError, ValueError):
        return "arguments that cannot be inspected"
