"""Tables on the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def table_of(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool) -> Table:
    """A table without lines: of numbers under the first column, or of sentences in the last one, which may break."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(header):
        number = numbers and place > 0
        table.add_column(column, justify="right" if number else "left", no_wrap=numbers or place < len(header) - 1)
    for row in rows:
        table.add_row(*map(escape, row))  # names carry units in brackets
    return table


def show(*parts: Table | str) -> None:
    """Print them, one below the other."""
    console = Console(highlight=False)
    for part in parts:
        console.print(part)
