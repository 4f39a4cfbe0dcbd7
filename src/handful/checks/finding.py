"""The result of a check."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "off", "unknown"]


@dataclass(frozen=True)
class Finding:
    """A line of the table."""

    check: str
    found: str  # a sentence without its full stop
    verdict: Verdict
