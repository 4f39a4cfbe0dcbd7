"""One self-contained HTML page: nothing on it comes from elsewhere."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.figure import Figure

from handful.evaluation import canvas


@dataclass(frozen=True)
class Picture:
    """An image file of the run folder, and what to say about it."""

    file: str  # in the run folder
    data: bytes
    caption: str

    @classmethod
    def drawn(cls, name: str, figure: Figure, caption: str) -> "Picture":
        return cls(f"figures/{name}.png", canvas.png(figure), caption)

    def html(self) -> str:
        kind = self.file.rsplit(".", 1)[-1]
        source = f"data:image/{kind};base64,{base64.b64encode(self.data).decode()}"
        name = self.file.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        return (
            f'<figure id="{escape(name)}"><img alt="{escape(self.caption)}" src="{source}">'
            f"<figcaption>{escape(self.caption)}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Section:
    """A heading, what its pictures have in common, the pictures, and whatever else stands below them as HTML."""

    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    below: str = ""

    def html(self) -> str:
        pictures = "".join(picture.html() for picture in self.pictures)
        return (
            f"<section><h2>{escape(self.title)}</h2>"
            + (f"<p>{escape(self.text)}</p>" if self.text else "")
            + (f'<div class="pictures">{pictures}</div>' if pictures else "")
            + f"{self.below}</section>"
        )


def tiles(facts: Sequence[tuple[str, str, str]]) -> str:
    """Numbers to read at a glance: label, value, remark."""
    return '<dl class="tiles">' + "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd><dd class=remark>{escape(remark)}</dd></div>"
        for label, value, remark in facts
    ) + "</dl>"  # fmt: skip


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Numbers in rows; on a narrow screen it scrolls by itself."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def pairs(facts: Mapping[str, str]) -> str:
    """Names and what they stand for."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f'<div class="wide"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def code(text: str) -> str:
    """Text to copy."""
    return f"<pre>{escape(text)}</pre>"


def details(summary: str, inner: str) -> str:
    """HTML that opens on a click."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def notes(sentences: Sequence[str]) -> str:
    """What a reader should know first."""
    return "".join(f'<p class="note">{escape(sentence)}</p>' for sentence in sentences)


def page(title: str, subtitle: str, verdict: str, top: str, sections: Sequence[Section]) -> str:
    """The whole document."""
    body = "\n".join(section.html() for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}, a run of handful</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p class="subtitle">{escape(subtitle)}</p><p class="verdict">{escape(verdict)}</p>
{top}</header>
<main>
{body}
</main>
</body>
</html>
"""


STYLE = """
:root { --paper: #f6f7f8; --card: #fff; --ink: #2c3845; --quiet: #66717c; --line: #dfe3e6; --note: #fdf3e7;
  --shade: none }
@media (prefers-color-scheme: dark) { :root { --paper: #171b20; --card: #20262d; --ink: #dde3e8; --quiet: #98a4af;
  --line: #343d46; --note: #3a2f22; --shade: brightness(.88) } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0 auto; max-width: 1120px; padding: 28px 24px 48px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { margin: 0; font-size: 30px; line-height: 1.2; overflow-wrap: anywhere }
h2 { margin: 44px 0 6px; font-size: 20px }
p { margin: 0 0 12px; max-width: 54em }
.subtitle { margin: 2px 0 10px; color: var(--quiet) }
.verdict { font-size: 19px; max-width: none }
.note { padding: 8px 12px; border-radius: 6px; background: var(--note); font-size: 14px; max-width: none;
  overflow-wrap: anywhere }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px; margin: 18px 0 0 }
.tiles div, figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px }
.tiles div { padding: 10px 14px }
.tiles + .note { margin-top: 16px }
dt { color: var(--quiet); font-size: 13px }
dd { margin: 0; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums }
dd.remark { font-size: 13px; font-weight: 400; color: var(--quiet) }
.pictures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; align-items: start }
figure { margin: 0; overflow: hidden; break-inside: avoid }
figure:last-child:nth-child(odd) { grid-column: 1 / -1; justify-self: center; max-width: 600px }
img { display: block; width: 100%; height: auto; background: #fff; filter: var(--shade) }
figcaption { padding: 8px 14px 12px; border-top: 1px solid var(--line); font-size: 14px; color: var(--quiet) }
figure + .wide { margin-top: 16px }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--card) }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: 6px 10px; text-align: right; white-space: nowrap }
th { color: var(--quiet); font-weight: 600; border-bottom: 1px solid var(--line) }
tr + tr td { border-top: 1px solid var(--line) }
pre { margin: 0 0 12px; padding: 12px 14px; overflow-x: auto; border: 1px solid var(--line); border-radius: 8px;
  background: var(--card); font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace }
details { margin: 0 0 12px }
summary { cursor: pointer; color: var(--quiet); margin: 8px 0 }
table.pairs { width: auto }
.pairs th, .pairs td { text-align: left; border-bottom: 0 }
.pairs td { white-space: normal }
@media (max-width: 760px) { body { padding: 16px 12px 32px } .pictures { grid-template-columns: minmax(0, 1fr) }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)) } h1 { font-size: 25px } .verdict { font-size: 17px } }
@media print { :root { --paper: #fff } body { max-width: none; padding: 0 } h2 { break-after: avoid } .wide, pre {
  overflow: visible; white-space: pre-wrap } th, td { padding: 3px 5px; font-size: 10px } }
"""
