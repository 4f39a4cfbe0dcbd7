"""Options that were left out take the value that the task or the agent suggests."""

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, runtime_checkable

from handful.errors import InputError

Given = TypeVar("Given")
Made = TypeVar("Made")


@runtime_checkable
class Options(Protocol):
    """The options of one agent."""

    def resolved(self, env: Any, info: Any) -> Any:
        """The same options with every value that was left out (None) filled in for the task.

        Options that do not apply, such as `members` of a Gaussian process, stay None. Resolving twice changes nothing.
        """
        ...


def filled(options: Given, **suggested: Any) -> Given:
    """Replaces the options that are None by what is suggested."""
    missing = {name: value for name, value in suggested.items() if getattr(options, name) is None}
    return dataclasses.replace(options, **missing)  # pyright: ignore[reportArgumentType] -- options are dataclasses


def given(options: Any, names: Iterable[str]) -> dict[str, Any]:
    """Those of the named options that are not None."""
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


def made(kind: type[Made], options: Any, **named: Any) -> Made:
    """A `kind` whose fields are the options of the same names, but for the `named` ones."""
    names = {field.name for field in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType] -- a dataclass
    return kind(**{name: value for name, value in vars(options).items() if name in names} | named)


def check_least(options: Any, *names: str, least: int = 1) -> None:
    """Raises `InputError` where one of the named options, if given, is below its least value."""
    for name, value in given(options, names).items():
        if value < least:
            raise InputError(f"{flag(name)} must be at least {least}, got {value}")


def flag(name: str) -> str:
    """How an option is written on the command line.

    >>> flag("learning_rate")
    '--learning-rate'
    """
    return f"--{name.replace('_', '-')}"


def words_of(kind: type | None, given: dict[str, Any]) -> list[str]:
    """The words of a command line that give these options of a kind, where that is known."""
    usual = {field.name: field.default for field in dataclasses.fields(kind)} if kind else {}
    words: list[str] = []
    for name, value in given.items():
        if isinstance(usual.get(name), bool):
            words.append(flag(name) if value else flag(f"no_{name}"))
        else:
            words += [flag(name), *map(str, value if isinstance(value, list | tuple) else [value])]
    return words


def refuse(options: Any, names: Iterable[str], reason: str) -> None:
    """Raises `InputError` where one of the named options was given."""
    for name in given(options, names):
        raise InputError(f"{flag(name)} {reason}; leave it out")


def unknown(option: str, name: str, known: Iterable[str]) -> InputError:
    """The error of an option that names nothing that there is; the closest name comes first.

    >>> str(unknown("model", "gps", ["ensemble", "gp"]))
    '--model gps is unknown, did you mean gp? There are ensemble, gp, and path/to/file.py:NAME for your own'
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean {close[0]}? There" if close else "; there"
    return InputError(
        f"--{option} {name} is unknown{hint} are {', '.join(known)}, and path/to/file.py:NAME for your own"
    )
