"""How help shows options that may be left out: by their type alone, their default as automatic."""

import dataclasses
import typing
from types import NoneType
from typing import Any

from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    UnsupportedTypeAnnotationError,
)

REGISTRY = ConstructorRegistry()


@REGISTRY.primitive_rule
def optional(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | UnsupportedTypeAnnotationError | None:
    """`X | None` is parsed as `X`: None stands for an option that was left out, and is never typed."""
    kinds = typing.get_args(kind.type)
    if NoneType not in kinds:
        return None
    rest: Any = typing.Union[tuple(each for each in kinds if each is not NoneType)]  # noqa: UP007 -- made of a tuple
    inner = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(rest, kind.markers))
    if not isinstance(inner, PrimitiveConstructorSpec):
        return inner
    return dataclasses.replace(
        inner,
        is_instance=lambda value: value is None or inner.is_instance(value),
        str_from_instance=lambda value: ["automatic"] if value is None else inner.str_from_instance(value),
    )
