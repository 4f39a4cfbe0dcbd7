"""Names that users choose reach figures, pages and tables as they stand."""

import csv
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from handful.reports import canvas, page
from handful.reports.comparison import inert, write_comparison
from handful.reports.model_figures import ModelRecord, coverage
from handful.reports.page import Picture, section
from handful.reports.run_report import parameter_table, write_report

NAMES = [
    "a$^{$b",
    "$x$",
    "nul \0 and\nlines",
    "lone \ud800 surrogate",
    "_hidden",
    "<b>&",
    "\N{CJK UNIFIED IDEOGRAPH-6A5F}",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_stand(name):
    figure, (ax,) = canvas.sheet(name, [name], name)
    ax.plot([0, 1], [2, 3], label=name)
    ax.annotate(name, (0, 2))
    canvas.legend(figure, columns=3)
    assert Image.open(io.BytesIO(canvas.png(figure))).width == 1040
    assert not any(text.get_parse_math() for text in (*figure.texts, ax.title, ax.xaxis.label))


@pytest.mark.parametrize("name", NAMES)
def test_a_page_holds_any_name(name, tmp_path):
    figure, _ = canvas.sheet(name, [""], "")
    blocks = [page.paragraph(name), Picture.drawn("one", figure, name), page.table([name], [[name]])]
    sections = [(name, blocks), ("left out", [])]
    page.write(tmp_path / "page.html", name, name, name, sections=sections, tiles=[(name,) * 3], notes=[name])
    text = (tmp_path / "page.html").read_text()
    assert "<b>" not in text
    assert "left out" not in text
    assert (tmp_path / "figures" / "one.png").exists()


def test_pictures_in_a_row_stand_in_one_grid():
    pictures = [Picture(f"figures/{name}.png", b"", name) for name in "ab"]
    html = section("title", [page.paragraph("before"), *pictures, page.paragraph("between"), pictures[0]])
    assert html.count('<div class="pictures">') == 2
    assert section("title", [Picture("figures/a.png", b"", "a", wide=True)]).count('class="pictures"') == 0
    assert html.index("before") < html.index('id="a"') < html.index('id="b"') < html.index("between")


@pytest.mark.parametrize("name", NAMES)
def test_entries_of_any_name_have_a_line_in_the_legend(name):
    arrays = {"coverage_before": np.linspace(0.5, 0.9, 12).reshape(6, 2)}
    (picture,) = coverage(ModelRecord({"names": [name, "other"]}, {"trusted_coverage": 0.8}, arrays))
    assert [text.get_text() for text in picture.content.axes[1].get_legend().get_texts()] == [f" {name}", " other"]
    assert picture.data


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_any_task_are_reported_and_compared(name, make_run, tmp_path):
    folder = make_run(tmp_path / "run", 1, task=name)
    other = make_run(tmp_path / "other", 1, task=name)
    other.write_config(other.config() | {"planner": name})
    write_report(folder)
    write_comparison([folder.path, other.path], tmp_path / "out")
    with (tmp_path / "out" / "summary.csv").open(newline="") as lines:
        groups = [row["group"] for row in csv.DictReader(lines)]
    shown = name.encode(errors="replace").decode()
    assert f"planner {shown}" in groups
    assert json.loads(folder.config_path.read_text())["task"] == name


def test_fitted_parameters_are_a_table(make_run, tmp_path):
    assert list(parameter_table({})) == list(parameter_table(None)) == []
    folder = make_run(tmp_path / "run", 1)
    found = {"mass [kg]": {"guess": 1.5, "prior_std": 0.45, "fitted": 1.25, "std": None}}
    folder.write_summary(folder.summary() | {"parameters": found})
    write_report(folder)
    text = folder.report_path.read_text()
    assert "<td>mass [kg]</td><td>1.5</td><td>0.45</td><td>1.25</td><td>none</td>" in text
    assert "Fitted parameters" in text


@pytest.mark.parametrize("name", [*NAMES, '"}</style><b>', "a\\"])
def test_a_narrow_screen_has_the_name_of_each_column_before_its_cells(name):
    html = page.table(["run", name], [["one", "3"]])
    style = re.search(r"<style>(.*?)</style>", html)[1]
    shown = re.search(r'nth-child\(2\):before\{content:"([^"]*)"\}', style)[1]
    decoded = re.sub(r"\\([0-9a-f]{6})", lambda found: chr(int(found[1], 16)), shown)
    assert decoded == name.encode(errors="replace").decode().replace("\0", "\1")
    assert re.fullmatch(r"[\w\\]*", shown, re.ASCII)
    assert "cards" in html
    assert "<style>" not in page.table(["run", name], [["one", "3"]] * (page.CARDS + 1))


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-2+3", "@sum", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text, make_run, tmp_path):
    folder = make_run(tmp_path / "run", 1)
    said = f"'{text}".replace("\r", " ")
    assert inert(text) == said
    folder.write_config(folder.config() | {"agent": text})
    write_comparison([folder.path], tmp_path / "out")
    with (tmp_path / "out" / "summary.csv").open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert row["group"] == said
    assert all(float(row[name]) is not None for name in ("mean", "least"))  # numbers stay numbers


@pytest.mark.parametrize(("labels", "columns"), [(1, 1), (5, 2), (4, 1)])
def test_a_legend_has_the_room_that_it_needs_and_no_more(labels, columns):
    """Long labels are folded; the panels keep their size and their place above the lower edge."""
    figure, (ax,) = canvas.sheet("title", [""], "x", height=1.5)
    place, before = ax.get_position(), figure.get_figheight()
    for index in range(labels):
        ax.plot([0, 1], label=f"{index} {'a setting of some length, ' * 6}")
    canvas.legend(figure, columns=columns)
    after = figure.get_figheight()
    assert ax.get_position().y0 * after == pytest.approx(place.y0 * before)
    assert ax.get_position().height * after == pytest.approx(place.height * before)
    figure.draw_without_rendering()
    (box,) = (legend.get_window_extent() for legend in figure.legends)
    title = min(text.get_window_extent().y0 for text in figure.texts)
    panel = ax.get_window_extent()
    assert box.x1 < figure.bbox.x1
    assert panel.y1 < box.y0 < box.y1 < title
    assert box.y0 - panel.y1 < 0.5 * canvas.PIXELS  # [in] of nothing in between
