"""What a check comes to."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "off", "not told"]


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    check: str
    found: str  # a sentence without its full stop
    verdict: Verdict
