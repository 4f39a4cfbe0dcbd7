"""A self-contained HTML page of sections, and the image files that it shows."""

import base64
import zlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from handful.reports import canvas
from handful.training.files import write_whole

CARDS = 40  # rows of a table, up to which a narrow screen shows each as a card; longer ones scroll sideways


@dataclass(frozen=True)
class Picture:
    """An image file and its caption."""

    file: str  # relative to the page
    content: Figure | bytes
    caption: str
    wide: bool = False  # as wide as the page; others stand two in a row

    @classmethod
    def drawn(cls, name: str, figure: Figure, caption: str, *, columns: int = 3, wide: bool = False) -> "Picture":
        """A figure, with a legend of so many columns where marks of its first panel have labels."""
        canvas.legend(figure, columns=columns)
        return cls(f"figures/{name}.png", figure, caption, wide)

    @cached_property
    def data(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else canvas.png(self.content)

    def __str__(self) -> str:
        """The picture in HTML."""
        file, caption = Path(self.file), escape(self.caption)
        source = f"data:image/{file.suffix[1:]};base64,{base64.b64encode(self.data).decode()}"
        said = f"<figcaption>{caption}</figcaption>" if caption else ""
        image = f'<img alt="{caption}" src="{source}">'
        return f'<figure id="{escape(file.stem)}">{image}{said}</figure>'


Block = Picture | str  # str: HTML, as the functions below make it
Maker = Callable[[Any], Iterable[Block]]  # of a record
Tiles = Sequence[tuple[str, str, str]]  # numbers at the top of a page: label, value, remark


def gathered(makers: Mapping[str, Sequence[Maker]], record: Any) -> list[tuple[str, list[Block]]]:
    """The sections of a page, by their titles, as functions of a record yield their blocks."""
    return [(title, [block for make in each for block in make(record)]) for title, each in makers.items()]


def section(title: str, blocks: Iterable[Block]) -> str:
    """A heading and what stands below it; pictures that follow each other stand in a grid."""
    inner = ""
    for alone, run in groupby(blocks, lambda block: isinstance(block, str) or block.wide):
        parts = "".join(map(str, run))
        inner += parts if alone else f'<div class="pictures">{parts}</div>'
    return f"<section><h2>{escape(title)}</h2>{inner}</section>"


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; on a narrow screen each row stands below the other, with names before the cells."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    if len(rows) > CARDS:
        return f'<div class="wide">{inner}</div>'
    name = f"of-{zlib.crc32('|'.join(columns).encode(errors='replace')):08x}"
    named = "".join(
        f'.{name} td:nth-child({place}):before{{content:"{_css(column)}"}}' for place, column in enumerate(columns, 1)
    )
    return f'<div class="wide cards {name}"><style>@media (max-width:760px){{{named}}}</style>{inner}</div>'


def _css(text: str) -> str:
    """A text as a string of a style sheet, in which every character that could end it is escaped."""
    text = text.encode(errors="replace").decode()
    return "".join(each if each.isalnum() and each.isascii() else f"\\{max(ord(each), 1):06x}" for each in text)


def records(rows: Sequence[Mapping[str, str]]) -> str:
    """A table of rows with the same columns, by name."""
    return table(list(rows[0]), [list(row.values()) for row in rows])


def pairs(facts: Mapping[str, str], *, bold: Container[str] = ()) -> str:
    """A table of names and values; those of the names `bold` stand out."""
    cells = {name: f"<b>{escape(value)}</b>" if name in bold else escape(value) for name, value in facts.items()}
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{cell}</td></tr>" for name, cell in cells.items())
    return f'<div class="wide"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def code(text: str) -> str:
    """Text to copy."""
    return f"<pre>{escape(text)}</pre>"


def details(summary: str, inner: str) -> str:
    """HTML that opens on a click."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def write(
    path: Path,
    title: str,
    subtitle: str,
    verdict: str,
    *,
    sections: Iterable[tuple[str, Sequence[Block]]],
    tiles: Tiles = (),
    notes: Sequence[str] = (),
) -> None:
    """Write all pictures, each to its file beside `path`, and then the page. Sections without blocks are left out.

    `notes` are warnings, below the tiles. Raises `InputError` where a file cannot be written.
    """
    sections = [(title, blocks) for title, blocks in sections if blocks]
    for picture in (block for _, blocks in sections for block in blocks if isinstance(block, Picture)):
        write_whole(path.parent / picture.file, picture.data)
    top = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd><dd class=remark>{escape(remark)}</dd></div>"
        for label, value, remark in tiles
    )
    top = f'<dl class="tiles">{top}</dl>' * bool(top)
    top += "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    page = Path(__file__).with_name("page.html").read_text().format(
        title=escape(title), subtitle=escape(subtitle), verdict=escape(verdict), top=top,
        body="\n".join(section(*each) for each in sections), style=Path(__file__).with_name("page.css").read_text(),
    )  # fmt: skip
    write_whole(path, page.encode(errors="replace"))  # names of tasks may hold lone surrogates
