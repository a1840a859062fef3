"""The HTML page of a campaign: one file, nothing foreign unescaped, the map, the work list and the curves."""

from __future__ import annotations

import io
import zlib
from base64 import b64encode
from html.parser import HTMLParser
from itertools import pairwise

import jinja2
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("squarify")

from campaign_samples import campaign, commit, comparison, mutant

from conformance.campaigns.survivors import Explained, Survivor
from conformance.campaigns.unit import Row
from conformance.reports import campaign_mutants, templates
from conformance.reports.campaign_forms import render, show
from conformance.reports.growth import growth
from conformance.reports.plot import MOST, plot
from conformance.reports.terminal import Screen

NASTY = "<script>alert(1)</script> & \"a\" 'b' </style> <img src=x onerror=alert(2)> \x1b[31m {{ 7 * 7 }}"


class Page(HTMLParser):
    """The elements of a page with their attributes, those that are not closed, and its text."""

    VOID = ("meta", "line", "rect", "polyline", "circle", "path", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page(found) -> Page:
    """The page of a campaign, which refers to nothing outside of it."""
    html = render(found, "html")
    made = Page(html)
    for tag, attributes in made.elements:
        assert tag not in ("script", "img", "link", "iframe", "object")
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert (attributes.get("href") or "#").startswith("#")
    assert "@import" not in html and "url(http" not in html
    return made


def reached(*numbers: int) -> str:
    bits = sum(1 << number for number in numbers)
    return b64encode(zlib.compress(bits.to_bytes(8, "little"))).decode()


@pytest.fixture
def nasty(tmp_path):
    """A campaign of each kind whose texts from outside are malicious."""
    rows = {
        "mutants": [
            mutant("survived", NASTY, file=NASTY, operator=NASTY, before=NASTY, after=NASTY),
            Row("mutants", "ERROR", NASTY, reason=NASTY),
        ],
        "commits": [commit(1, "behaviour changes", NASTY, claim=NASTY, found=True), commit(2, NASTY, "x")],
        "lockstep": [
            comparison("FAIL", subject=NASTY, kernel=NASTY, mode=NASTY),
            comparison("ERROR", reason=NASTY),
        ],
    }
    return [campaign(tmp_path / kind, kind, given, range=NASTY) for kind, given in rows.items()]


def test_nothing_foreign_is_unescaped(nasty):
    for found in nasty:
        text = page(found).text
        assert "alert(1)" in text and "\x1b" not in text and "{{ 7 * 7 }}" in text


def test_a_page_without_escaping_is_noticed(nasty, monkeypatch):
    monkeypatch.setattr(jinja2, "select_autoescape", lambda extensions: False)
    assert templates.jinja2 is jinja2
    for found in nasty:
        with pytest.raises(AssertionError):
            page(found)


def test_mutants_have_a_map_a_work_list_and_a_curve(tmp_path):
    rows = [
        mutant("compared"),
        mutant("survived", runs=7),
        mutant("survived", "few", runs=2, before="\tx();"),
    ]
    found = campaign(tmp_path / "out", "mutants", rows, planned=9)
    made = page(found)
    assert "score 33.3%: 1 of 3 decided mutants are compared; of all, 6.1% to 79.2%" in made.text
    titles = [attributes for tag, attributes in made.elements if tag == "a"]
    assert {one["href"] for one in titles} == {"#f1-make_spte", "#f1-few"}
    assert {"f1-make_spte", "f1-few"} <= {attributes.get("id") for _, attributes in made.elements}
    assert "make_spte(), mmu/spte.c: 1 detected, 1 not detected" in made.text
    first, second = made.text.index("executed by 7 runs"), made.text.index("executed by 2 runs")
    assert first < second and "The rest is carried out with --resume." in made.text
    ((title, curves),) = growth(found)
    assert title == "Mutants"
    ends = {name: points[-1] for name, points in curves.items()}
    assert ends == {"6.1: decided": (6.0, 3.0), "6.1: detected": (6.0, 1.0), "6.1: survived": (6.0, 2.0)}


def test_survivors_that_were_looked_through_are_apart(tmp_path, monkeypatch):
    entry = Survivor(("make_spte",), Explained.EQUIVALENT, "the value is masked <later>", ("if (a > b)",))
    monkeypatch.setattr(campaign_mutants, "survivors", lambda: (entry,))
    rows = [mutant("compared"), mutant("survived"), mutant("survived", "other"), mutant("compared", "other")]
    found = campaign(tmp_path / "out", "mutants", rows)
    text = page(found).text
    said = "f the survivors 1 equivalent by reasoning; without these score 66.7%: 2 of 3 decided mutants"
    assert f"O{said}" in text and "Survivors that nothing explains: 1" in text
    assert (
        text.index("nothing explains: 1") < text.index("looked through: 1") < text.index("is masked <later>")
    )
    shown = io.StringIO()
    show(found, Screen(shown))
    assert f"o{said}" in shown.getvalue() and shown.getvalue().count("survived  arch") == 1
    assert "equivalent by reasoning: the value is masked" in render(found, "junit")


def test_edges_are_those_that_all_units_reach(tmp_path):
    details = [
        {"edges": 2, "total": 2, "layout": "a", "reached": reached(0, 1)},
        {"edges": 1, "total": 2, "layout": "a", "reached": reached(1, 9)},
        {"edges": 1, "total": 1, "layout": "b", "reached": reached(3)},
    ]
    found = campaign(tmp_path / "one", "lockstep", [comparison("PASS", details=one) for one in details])
    (title, curves), (steps, _) = growth(found)
    assert title.startswith("Edges") and steps == "Compared steps"
    assert {name: points[-1][1] for name, points in curves.items()} == {"6.1 (a)": 3.0, "6.1 (b)": 1.0}
    text = page(found).text
    assert "6.1 (a) 3" in text and "6.1 300" in text
    uniform = campaign(tmp_path / "two", "lockstep", [comparison("PASS")])
    assert [title for title, _ in growth(uniform)] == ["Compared steps"]


def test_every_difference_has_its_command(tmp_path):
    rows = [comparison("FAIL"), comparison("FAIL"), comparison("FAIL", mode="shadow"), comparison("PASS")]
    text = page(campaign(tmp_path / "out", "lockstep", rows)).text
    assert "Differences: 3" in text and text.count("Shown again by conformance lockstep --seed 6") == 3
    assert "access gfn=1" in text


def test_commits_are_a_table_in_order(tmp_path):
    rows = [
        commit(2, "behaviour changes", "the second", found=True),
        commit(1, "no functional change, proved", "the first", claim="NFC."),
    ]
    text = page(campaign(tmp_path / "out", "commits", rows)).text
    table = text[text.index("Commits, in order") :]
    assert table.index("the first") < table.index("the second")
    assert "no change" in table and "3 of 4" in table and "1 behaviour differs" in table


def test_kernels_are_a_table_in_order(tmp_path):
    rows = [
        comparison("PASS", kernel="b", version="6.1.10-1", details={"before": "6.1.9-1", "standing": "new"}),
        comparison("PASS", kernel="a", version="6.1.9-1", details={"before": "", "standing": NASTY}),
    ]
    text = page(campaign(tmp_path / "out", "kernels", rows)).text
    table = text[text.index("Versions, in order") :]
    assert table.index("6.1.9-1") < table.index("6.1.10-1") < table.index("new") and "alert(1)" in table


def test_a_campaign_without_results(tmp_path):
    for kind in ("mutants", "lockstep", "commits"):
        assert "There are no results yet." in page(campaign(tmp_path / kind, kind, [], planned=3)).text


def test_curves_are_thinned_and_names_apart():
    points = [(float(number), float(number)) for number in range(5000)]
    drawn = plot({"a": points, "b": points, "c": [(0.0, 0.0), (4999.0, 4998.0)]})
    assert len(drawn.lines[0].points.split()) == MOST
    assert drawn.lines[0].points.split()[-1] == f"{drawn.right},{drawn.lines[0].end[1]}"
    labels = sorted(one.label for one in drawn.lines)
    assert all(after - before >= 14 for before, after in pairwise(labels))
    assert (drawn.unit, [mark.text for mark in drawn.x][:3]) == ("min", ["0", "20", "40"])
    assert [mark.text for mark in drawn.y] == ["0", "1.0k", "2.0k", "3.0k", "4.0k"]
    assert plot({}) is None and plot({"a": [(0.0, 0.0)]}) is None
    assert plot({"a": [(0.0, 0.0), (0.5, 1.0)]}).unit == "s"
