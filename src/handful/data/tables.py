"""Reads columns from text: .csv files as spreadsheets, loggers and NumPy write them."""

import csv
import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from handful.data.columns import Columns, check_numbers, is_clock, jumps, trial_numbers
from handful.errors import InputError

MOST_BYTES = 500_000_000  # of a file: cells take ten times as much while they are text
SEPARATORS = ",;\t|"
MISSING = {"", "-", "--", "nan", "na", "n/a", "#n/a", "null", "none", "nil", "missing", "#div/0!", "#value!", "1.#qnan"}
FLAGS = {
    "true": 1.0,
    "t": 1.0,
    "yes": 1.0,
    "y": 1.0,
    "on": 1.0,
    "false": 0.0,
    "f": 0.0,
    "no": 0.0,
    "n": 0.0,
    "off": 0.0,
}
SINGLE = {"trial": ("trial", "episode"), "reward": ("reward",)}
ENDS = ("terminated", "truncated", "done")

_POINT = re.compile(r"[+-]?(\d*\.\d+|\d+\.)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d*,\d+|\d+,)([eE][+-]?\d+)?")
_BY_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?([eE][+-]?\d+)?")  # thousands
_BY_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?([eE][+-]?\d+)?")
_BY_SPACE = re.compile(r"[+-]?\d{1,3}([ '\u2019\u00a0\u2009\u202f]\d{3})+([.,]\d*)?")


def read_table(path: Path) -> tuple[Columns, tuple[str, ...], list[str]]:
    """Columns, names of the entries of obs, and notes. Raises `InputError` where the text has more than one meaning."""
    separator, lines = _lines(path)
    header, body = _header(path, separator, lines)
    of = _columns(path, header)
    cells = [(number, line) for number, line in body if line]
    used = [*of["obs"], *of["next_obs"], *of["action"]]
    cells, notes = _without_units(cells, used)
    numeric = [*used, *(of[name][0] for name in ("trial", "reward") if of[name])]
    check_numbers(path, len(cells), len(numeric))
    table, words = _numbers(path, cells, numeric)
    column = lambda name: table[:, of[name][0]] if of[name] else np.zeros(len(cells))
    flags = {name: _flags(path, cells, of[name][0]) for name in ENDS if of[name]}
    taken = {*numeric, *(of[name][0] for name in flags)}
    unused = [name for index, name in enumerate(header) if index not in taken and name]
    notes += [f"Unused columns: {', '.join(unused)}."] if unused else []
    notes += [f"Cells hold no number ({len(words)}), such as {words[0][1]!r} in row {words[0][0]}."] if words else []
    breaks, more = _breaks(path, header, body, cells)
    rows = Columns(
        table[:, of["obs"]], table[:, of["action"]], table[:, of["next_obs"]] if of["next_obs"] else None,
        trial_numbers(path, column("trial")), column("reward"), flags.get("terminated", np.zeros(len(cells))),
        np.any([*flags.values(), np.zeros(len(cells))], axis=0), breaks,
    )  # fmt: skip
    return rows, tuple(entry_name(header[index]) for index in of["obs"]), [*notes, *more]


def entry_name(column: str) -> str:
    """The name without the prefix: "obs angle [rad]" becomes "angle [rad]", and "obs1" stays as it is."""
    rest = re.sub(r"^obs(ervations?)?[\s_.:/-]*", "", column, flags=re.IGNORECASE)
    return column if not rest or rest.isdigit() else rest


def _lines(path: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """The separator, and the cells of each line with its number in the file; blank lines have no cells."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{path} has {size} bytes, and a .csv may have {MOST_BYTES}; write it as an .npz")
    try:
        text = re.sub(r"\r*\n|\r", "\n", _decoded(path.read_bytes()))
        lines = text.removesuffix("\n").split("\n") if text else []
        named = re.fullmatch(r"sep=(.)", lines[0].strip()) if lines else None  # of spreadsheets
        separator = named[1] if named else _separator(lines)
        # A tab is no space before a cell where it separates cells.
        reader = csv.reader(lines[1:] if named else lines, delimiter=separator, skipinitialspace=separator != "\t")
        rows = [(reader.line_num + bool(named), [cell.strip() for cell in line]) for line in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a .csv ({type(error).__name__}); write it again as text") from error
    return separator, [(number, line if any(line) else []) for number, line in rows]


def _decoded(data: bytes) -> str:
    """UTF-8, or UTF-16 or UTF-32 by their marks or their zeros, or else Latin-1. Raises `ValueError` if not text."""
    for marks, encoding in (((b"\xff\xfe\0\0", b"\0\0\xfe\xff"), "utf-32"), ((b"\xff\xfe", b"\xfe\xff"), "utf-16")):
        if data.startswith(marks):
            return data.decode(encoding)
    if data[1:2] == b"\0" or data[:1] == b"\0":
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    if b"\0" in data:
        raise ValueError("not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _separator(lines: list[str]) -> str:
    """That by which a line among the first names obs and action, or which divides the first line most often."""
    first = [line for line in lines[:50] if line.strip()][:20]
    for line in first:
        for separator in SEPARATORS:
            cells = next(csv.reader([line], delimiter=separator, skipinitialspace=separator != "\t"), [])
            if _names_both(cells):
                return separator
    return max(SEPARATORS, key=first[0].count) if first else ","


def _kind(name: str) -> str | None:
    """obs, next_obs or action, where a column's name begins with it in any case."""
    found = re.match(r"(next[\s_]?obs|obs|action)", _bare(name))
    return None if found is None else "next_obs" if found[1].startswith("next") else found[1]


def _bare(name: str) -> str:
    return name.strip().strip("'\"#").strip().lower()


def _names_both(cells: Sequence[str]) -> bool:
    return {"obs", "action"} <= {_kind(cell) for cell in cells}


def _header(
    path: Path, separator: str, lines: list[tuple[int, list[str]]]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names, and the lines below; lines above the names are a title. All have as many cells as there are names."""
    filled = [index for index, (_, line) in enumerate(lines) if line]
    if len(filled) < 2:
        raise InputError(f"{path} must contain a header and rows below it, and it contains {len(filled)} lines")
    at = next((index for index in filled[:20] if _names_both(lines[index][1])), filled[0])
    header = [name.lstrip("# ") for name in lines[at][1]]
    while header and not header[-1]:
        header.pop()
    comment = lambda cell: cell.startswith("#") and cell.lower() not in MISSING
    again = lambda line: line == lines[at][1]  # where files were joined
    body = [
        (number, [] if again(line) else line) for number, line in lines[at + 1 :] if not line or not comment(line[0])
    ]
    body = [(number, line[: len(header)] if not any(line[len(header) :]) else line) for number, line in body]
    uneven = next(((number, len(line)) for number, line in body if line and len(line) != len(header)), None)
    if not _names_both(header):
        raise InputError(
            f"{path} must have columns whose names begin with obs and with action, and it has {', '.join(header)}"
        )
    if uneven:
        comma = "; commas within numbers need quotes, or ; between cells" if separator == "," else ""
        raise InputError(
            f"{path}: every row must have the {len(header)} cells of the header, row {uneven[0]} has {uneven[1]}{comma}"
        )
    if not any(line for _, line in body):
        raise InputError(f"{path} must contain a header and rows below it, and it contains a header alone")
    return header, body


def _columns(path: Path, header: list[str]) -> dict[str, list[int]]:
    """The indices of the columns of each kind. Raises `InputError` where a name comes twice."""
    bare = [_bare(name) for name in header]
    of = {kind: [i for i, name in enumerate(header) if _kind(name) == kind] for kind in ("obs", "action", "next_obs")}
    for kind, names in (SINGLE | {name: (name,) for name in ENDS}).items():
        of[kind] = next((found for name in names if (found := [i for i, b in enumerate(bare) if b == name])), [])
    repeated = [header[i] for kind in of for i in of[kind] if sum(bare[j] == bare[i] for j in of[kind]) > 1]
    if repeated:
        raise InputError(f"{path}: the names of columns must differ, and {repeated[0]!r} comes more than once")
    if len(of["next_obs"]) not in {0, len(of["obs"])}:
        raise InputError(
            f"{path} must have as many columns of next_obs as of obs, {len(of['obs'])}, got {len(of['next_obs'])}"
        )
    return of


def _without_units(
    cells: list[tuple[int, list[str]]], used: list[int]
) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """The rows below those under the header that hold units or descriptions: words, and no number, in all columns."""

    def wordy(line: list[str]) -> bool:
        values = [_number(line[index], comma="," in line[index]) for index in used]
        return None in values and all(value is None or np.isnan(value) for value in values)

    first = next((index for index, (_, line) in enumerate(cells) if not wordy(line)), 0)
    if not 0 < first <= 2:
        return cells, []
    return cells[first:], [f"Row {cells[0][0]} holds no numbers and was taken for units."]


def _numbers(
    path: Path, cells: list[tuple[int, list[str]]], columns: list[int]
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """The numbers in columns, NaN where a cell holds none; and row and text of each cell that holds another word."""
    texts = {line[i] for _, line in cells for i in columns}
    comma = _decimal_comma(path, texts)
    values = {text: _number(text, comma=comma) for text in texts}
    table = np.full((len(cells), max(columns) + 1), np.nan)
    words = []
    for row, (number, line) in enumerate(cells):
        for index in columns:
            value = values[line[index]]
            table[row, index] = np.nan if value is None else value
            if value is None:
                words.append((number, line[index]))
    return table, words


def _decimal_comma(path: Path, texts: set[str]) -> bool:
    """Whether a comma is the decimal mark. Raises `InputError` if it may be, or if points are too."""
    if not any("," in text or text.count(".") > 1 for text in texts):
        return False
    grouped = {text: bool(_BY_COMMA.fullmatch(text)) for text in texts if "," in text}
    comma = [text for text, thousands in grouped.items() if _COMMA.fullmatch(text) and not thousands]
    comma += [text for text in texts if _BY_POINT.fullmatch(text) and ("," in text or text.count(".") > 1)]
    point = [text for text in texts if _POINT.fullmatch(text) and not _BY_POINT.fullmatch(text)]
    point += [text for text, thousands in grouped.items() if thousands and ("." in text or text.count(",") > 1)]
    unclear = [text for text, thousands in grouped.items() if thousands and "." not in text and text.count(",") == 1]
    if comma and point:
        raise InputError(
            f"{path} must have one decimal mark, and it has a comma in {min(comma)!r} and a point in {min(point)!r}"
        )
    if unclear and not comma and not point:
        raise InputError(
            f"{path}: the comma in {min(unclear)!r} may be a decimal mark or separate thousands; write a point, or no "
            "thousands separators"
        )
    return bool(comma)


def _number(text: str, *, comma: bool) -> float | None:
    """NaN for a missing value, None for other words."""
    text = text.strip("'\"").replace("\N{MINUS SIGN}", "-")
    if _BY_SPACE.fullmatch(text):
        text = re.sub(r"[ '\u2019\u00a0\u2009\u202f]", "", text)
    if comma and (_COMMA.fullmatch(text) or _BY_POINT.fullmatch(text)):
        text = text.replace(".", "").replace(",", ".")
    elif not comma and _BY_COMMA.fullmatch(text):
        text = text.replace(",", "")
    try:
        return float(text)
    except ValueError:
        return float("nan") if text.lower() in MISSING else None


def _flags(path: Path, cells: list[tuple[int, list[str]]], column: int) -> np.ndarray:
    """Numbers, or yes and no in their usual spellings; an empty cell is a no."""
    found = np.zeros(len(cells))
    for row, (number, line) in enumerate(cells):
        text = line[column].strip("'\"").lower()
        value = 0.0 if text in MISSING else FLAGS.get(text, _number(text, comma="," in text))
        if value is None:
            raise InputError(
                f"{path}: terminated, truncated and done must be 0 or 1, true or false, yes or no; row {number} has "
                f"{line[column]!r}"
            )
        found[row] = value > 0
    return found


def _breaks(
    path: Path, header: list[str], body: list[tuple[int, list[str]]], cells: list[tuple[int, list[str]]]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Rows below a blank line, and rows at which a clock jumps; and notes on clocks that cannot be read."""
    first, blank, below = cells[0][0], False, []
    for number, line in body:
        if line and number >= first:
            below.append(blank)
        blank = not line
    blank_lines = np.array(below) & (np.arange(len(below)) > 0)
    if blank_lines[1:].all():  # the file has double spacing
        blank_lines = np.zeros(len(below), bool)
    breaks, notes = {"blank lines or headers": blank_lines}, []
    for index, name in enumerate(header):
        if is_clock(_bare(name)):
            clock = _clock(path, [line[index] for _, line in cells])
            if np.isfinite(clock).any():
                breaks[f"jumps of {name}"] = jumps(path, name, clock)
            else:
                notes.append(f"Gaps in the column {name} were not looked for, since it holds no times.")
    return breaks, notes


def _clock(path: Path, texts: list[str]) -> np.ndarray:
    """Numbers, or seconds of dates and times in ISO 8601; NaN where there is neither."""
    comma = _decimal_comma(path, set(texts))
    values = [_number(text, comma=comma) for text in texts]
    if any(value is not None for value in values):
        return np.array([np.nan if value is None else value for value in values])
    return np.array([_seconds(text) for text in texts])


def _seconds(text: str) -> float:
    for day in ("", "1970-01-01T"):
        try:
            found = dt.datetime.fromisoformat(day + text)
        except ValueError:
            continue
        return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
    return float("nan")
