"""The report: what it says, in both forms, and that nothing of a user's gets out of its place."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from harness.cells import each_cell

from registry.wire.training_records.gate_results import DataSnapshot
from tests.unit.training.builders import cells_of, checkerboard_events, parameters, watch
from training.data.matrix import Cells
from training.fitting.als import fit_als
from training.fitting.warm_start import Warming
from training.judging.findings import Learned
from training.judging.gate import GateLimits
from training.judging.incumbent import Incumbent
from training.report import svg as drawings
from training.report.report_pages import HTML, MARKDOWN, About, report_pages
from training.report.svg import IntervalBar
from training.runs.learn import learn
from training.runs.learning_case import RunRules
from training.runs.progress import Journal

ABOUT = About(
    run_id="run-7",
    created_at="2026-01-02T03:04:05+00:00",
    created_by="anna",
    model_name="als",
    git_sha="abc",
    incumbent="v0.3",
    snapshot=DataSnapshot("sha256:1", "reco.interactions", {"0": (0, 288)}, 288, 24, 24),
    parameters=parameters(),
)
NASTY = "<script>alert(1)</script> | & Sons"


def learned(cells: Cells, least: int = 1, warming: Warming | None = None) -> Learned:
    rules = RunRules(GateLimits(least, 1, 1, tolerance=0.1), holdout=0.2, threads=1)
    incumbent = Incumbent("v0.3", parameters())
    journal = Journal("run", lambda _: None)
    return learn(cells, parameters(), incumbent, rules, fit_als, journal, warming)


@pytest.fixture(scope="module")
def pages() -> tuple[str, str]:
    titled = [watch(1, item, at=item / 9, title=NASTY) for item in (1, 3)]
    cells = cells_of(*checkerboard_events(), *titled)
    named = report_pages(ABOUT, learned(cells), cells)
    return named[HTML]("v0.4").decode(), named[MARKDOWN]("v0.4").decode()


class Balance(HTMLParser):
    """Refuses a tag that is closed by another."""

    EMPTY = ("meta", "circle", "rect", "line", "path", "polyline", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_both_forms_tell_the_same(pages: tuple[str, str]) -> None:
    for page in pages:
        for text in ("run-7", "sha256:1", "0: 0–288", "NDCG@10", "popularity bias@10", "passed"):
            assert text in page
        assert "v0.3 is represented by its parameters, fitted again" in page.replace("&#39;", "'")
        assert "missing items" in page


def test_the_title_names_the_version(pages: tuple[str, str]) -> None:
    page, text = pages
    assert "<title>Training report: als v0.4</title>" in page
    assert "<h1>Training report: als v0.4<" in page
    assert text.startswith("# Training report: als v0.4, passed\n")


def test_the_page_is_well_formed_and_loads_nothing(pages: tuple[str, str]) -> None:
    page, _ = pages
    parser = Balance()
    parser.feed(page)

    assert parser.open == []
    assert "http" not in page
    assert "<script" not in page


def test_a_title_cannot_leave_its_place(pages: tuple[str, str]) -> None:
    page, text = pages

    assert "&lt;script&gt;alert(1)&lt;/script&gt; | &amp; Sons" in page
    assert "<script" not in text
    assert "&lt;script>alert(1)&lt;/script> \\| & Sons" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head(pages: tuple[str, str]) -> None:
    _, text = pages
    for table in text.split("\n\n"):
        rows = [line for line in table.split("\n") if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) <= 1, table


def test_a_refused_run_has_a_report_that_says_why() -> None:
    cells = cells_of(*checkerboard_events())

    for page in report_pages(ABOUT, learned(cells, least=99), cells).values():
        assert b"refused" in page(None)
        assert b"at least 99" in page(None)
        assert b"No user could be judged." in page(None)


def test_where_the_fit_began_is_told_if_a_warm_start_was_asked_for() -> None:
    cells = cells_of(*checkerboard_events())
    asked = learned(cells, warming=Warming(2, "implicit", fit_als))

    for page in report_pages(ABOUT, asked, cells).values():
        assert b"at random: v0.3 cannot be read" in page(None)
    for page in report_pages(ABOUT, learned(cells), cells).values():
        assert b"at random" not in page(None)


def test_the_first_version_has_nothing_to_be_compared_with() -> None:
    cells = cells_of(*checkerboard_events())
    rules = RunRules(GateLimits(1, 1, 1, tolerance=0.1), holdout=0.2, threads=1)
    first = learn(cells, parameters(), None, rules, fit_als, Journal("run", lambda _: None))

    for page in report_pages(replace(ABOUT, incumbent=None), first, cells).values():
        assert b"nothing: no version is deployed yet" in page(None)
        assert b"over popularity" in page(None)
        assert b"over incumbent" not in page(None)


@each_cell(
    "drawing",
    [
        drawings.bars({}),
        drawings.bars(
            {"a": [IntervalBar("candidate", 0.0), IntervalBar("popularity", 0.2, (0.1, 0.3))]}
        ),
        drawings.differences({}),
        drawings.differences(
            {"a": IntervalBar("candidate", -0.1, (-0.2, 0.0)), "b": IntervalBar("x", 0.0)}
        ),
        drawings.curves({"candidate": [0.0, 0.5, 1.0]}, {"1": 0.0, "10": 1.0}, "across", "up"),
    ],
)
def test_a_drawing_is_well_formed_and_stays_on_its_paper(drawing: str) -> None:
    root = ElementTree.fromstring(drawing)
    wide, high = map(float, root.attrib["viewBox"].split()[2:])

    places = [
        (float(value), high if name.startswith(("y", "cy")) else wide)
        for part in root
        for name, value in part.attrib.items()
        if name in {"x", "x1", "x2", "cx", "y", "y1", "y2", "cy"}
    ]

    assert all(np.isfinite(place) and 0 <= place <= most for place, most in places)
