"""How numbers, counts and times are written in reports."""

import math


def number(value: int | float | None) -> str:
    """Four significant digits with a true minus sign; words where there is no finite number.

    >>> number(123456.0), number(None), number(math.nan)
    ('1.235e+05', 'none', 'not finite')
    """
    if value is None:
        return "none"
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else "not finite"


def grouped(value: int) -> str:
    """A count in groups of three digits."""
    return f"{value:,}".replace(",", "\N{THIN SPACE}")


def count(value: int, noun: str) -> str:
    """A count with its noun.

    >>> count(1, "seed"), count(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{value} {noun}" + ("" if value == 1 else "s")


def duration(seconds: float) -> str:
    """Seconds up to ten minutes, then minutes up to two hours, then hours.

    >>> duration(40.0), duration(900.0), duration(50176.0)
    ('40 s', '15 min', '13.94 h')
    """
    size, unit = (1, "s") if seconds <= 600 else (60, "min") if seconds <= 7200 else (3600, "h")
    return f"{number(seconds / size)} {unit}"
