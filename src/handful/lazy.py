"""Public names, each loaded from its module when it is first used, so that importing a package stays quick."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def public_names(
    package: str, homes: Mapping[str, str]
) -> tuple[list[str], Callable[[], list[str]], Callable[[str], Any]]:
    """Returns a package's `__all__`, `__dir__` and `__getattr__`.

    `homes` has the module of each public name: "module", or "module:its name there".

    >>> _, _, load = public_names("handful.planners", {"LQR": "planning.lqr:Regulator"})
    >>> load("LQR").__name__
    'Regulator'
    """
    names = list(homes)

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = homes[name].partition(":")
        return getattr(importlib.import_module(f"handful.{module}"), attribute or name)

    return names, lambda: names, load
