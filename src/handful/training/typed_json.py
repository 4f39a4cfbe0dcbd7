"""Values from a JSON file, checked by type annotations."""

import typing
from collections.abc import Mapping
from typing import Any, Literal, Never

_MISSING = object()


def unusable(content: Mapping[str, Any], kinds: Mapping[str, Any], *, closed: bool = False) -> str | None:
    """The first entry that is missing or not of its annotated type, and, if `closed`, the first that has none.

    >>> kinds = {"steps": int | None, "hidden": tuple[int, ...]}
    >>> unusable({"steps": None, "hidden": [64, 64]}, kinds), unusable({"steps": 2.5, "hidden": [64]}, kinds)
    (None, 'steps')
    """
    names = [*kinds, *(content if closed else ())]
    return next((name for name in names if not fits(content.get(name, _MISSING), kinds.get(name, Never))), None)


def fits(value: Any, kind: Any) -> bool:
    """True if a JSON value is of an annotated type; lists serve as tuples, and whole numbers as floats."""
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return value in choices
    if origin is tuple:
        return isinstance(value, list | tuple) and all(fits(each, choices[0]) for each in value)
    if choices:
        return any(fits(value, choice) for choice in choices)
    return kind is not Never and (type(value) is kind or (kind is float and type(value) is int))
