# SPDX-License-Identifier: GPL-2.0-only
"""Coverage on the terminal, as JSON and as HTML pages."""

from __future__ import annotations

import io
import json
import posixpath
import re
from html.parser import HTMLParser

import pytest
from coverage_samples import MMU, TEXT, outcome, sample
from rich.console import Console

from conformance import __version__
from conformance.coverage.outcome import Changed, KernelCoverage
from conformance.coverage.scope import RULE
from conformance.reports.coverage import ranges, share, show
from conformance.reports.coverage_json import document, render
from conformance.reports.treemap import treemap


def printed(kernel: KernelCoverage) -> str:
    stream = io.StringIO()
    show([kernel], RULE, Console(file=stream, width=80))
    return stream.getvalue()


def test_terminal(tmp_path):
    text = printed(outcome(tmp_path, sample()))
    assert re.search(r"mmu/mmu\.c +3/7 +42 % +50 % +1/2 +42 %", text)
    assert "not measured: races (races, under several schedules): not <measured>" in text
    assert "2 lines cannot be reached in this configuration" in text
    assert (
        "Compared: 50% of executed lines are compared (95 % interval: 9% to 91%); 2 mutants, seed 7" in text
    )
    assert "survived: mmu/mmu.c:4 zap(): comparison shifted: if (gfn > 1) -> if (gfn < 1)" in text
    assert "Drawn from 3 of the 3 lines that properties or stories execute" in text
    assert "; executed by first_read and 1 more" in text
    assert "Functions that were not executed: 1, with 3 lines" in text and "3 lines  never  mmu/mmu.c" in text
    assert RULE[1].split(":")[0] in text


def test_terminal_with_a_patch(tmp_path):
    given = outcome(tmp_path)
    changed = KernelCoverage(**{**vars(given), "changed": (Changed(MMU, 3, (6, 7)),)})
    text = printed(changed)
    assert "Of 3 lines with code that the patch adds or changes, 1 were executed." in text
    assert f"dark: {MMU}: line 6-7" in text


def test_faults_are_shown(tmp_path):
    given = outcome(tmp_path)
    assert "fault: a story is astray" in printed(
        KernelCoverage(**{**vars(given), "astray": ("a story is astray",)})
    )


def test_shares_are_rounded_down():
    assert [share((999, 1000)), share((1000, 1000)), share((0, 0))] == ["99 %", "100 %", "-"]


def test_ranges():
    assert ranges([1, 3, 4, 5, 9]) == "1, 3-5, 9"


def test_json(tmp_path):
    report = json.loads(render([outcome(tmp_path, sample())], RULE))
    assert set(report) == {"schema", "version", "rule", "kernels"}
    assert (report["schema"], report["version"], report["rule"]) == (1, __version__, [*RULE])
    (kernel,) = report["kernels"]
    assert set(kernel) == {
        "selector", "version", "drift", "layers", "missing", "files", "summary", "faults", "compared",
    }  # fmt: skip
    assert (
        kernel["summary"]
        == kernel["layers"]["stories"]
        == {
            "lines": {"executed": 3, "counted": 7},
            "branches": {"executed": 2, "counted": 4},
            "functions": {"executed": 1, "counted": 2},
            "unreachable": 2,
        }
    )
    (file,) = kernel["files"]
    assert file["functions"][0] == {
        "function": "zap",
        "first": 2,
        "last": 7,
        "count": 5,
        "lines": {"compared": 1, "not compared": 1, "executed": 1, "dark": 1, "unreachable": 0},
        "executed_by": {"stories": {"first": "first_read", "runs": 2}},
    }
    assert file["lines"][1] == {
        "line": 4,
        "state": "not compared",
        "count": 5,
        "branches": [2, 3],
        "executed_by": {"stories": {"first": "first_read", "runs": 2}},
    }
    assert {
        "line": 17,
        "state": "unreachable",
        "count": 0,
        "branches": [],
        "executed_by": {},
        "reason": "the option is not set",
    } in file["lines"]
    compared = kernel["compared"]
    assert (compared["planted"], compared["share"], compared["outcomes"]["survived"]) == (2, 0.5, 1)
    ran = [{"layer": "stories", "run": "first_read"}, {"layer": "stories", "run": "first_write"}]
    assert compared["mutants"][0]["executed_by"] == ran
    assert compared["mutants"][1]["by"] == {"layer": "stories", "run": "first_read", "mode": "npt"}


def test_json_has_what_patches_change(tmp_path):
    given = outcome(tmp_path)
    (kernel,) = document([KernelCoverage(**{**vars(given), "changed": (Changed(MMU, 3, (6,)),)})], RULE)[
        "kernels"
    ]
    assert kernel["changed"] == [{"file": MMU, "lines": 3, "dark": [6]}]


# HTML.

VOID = {"meta", "link", "br", "rect", "circle", "path"}


class Page(HTMLParser):
    """A page: its links and anchors, its text, and elements that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.links += [given[name] for name in ("href", "src") if name in given]
        if "id" in given:
            self.anchors.add(given["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def html():
    pytest.importorskip("jinja2")
    pytest.importorskip("squarify")
    from conformance.reports.coverage_html import pages

    return lambda *kernels: {str(path): text for path, text in pages(kernels, RULE)}


def test_pages_link_to_one_another_and_to_nothing_else(tmp_path, html):
    written = html(outcome(tmp_path, sample()))
    assert set(written) == {"index.html", "style.css", "arch_x86_kvm_mmu_mmu.c.html"}
    pages = {name: Page(text) for name, text in written.items() if name.endswith(".html")}
    for name, page in pages.items():
        assert page.open == []
        assert "script" not in page.tags
        for link in page.links:
            target, _, anchor = link.partition("#")
            assert (target or name) in written, link
            assert not anchor or anchor in pages[target or name].anchors, link
    assert not re.search(r"url\((?!#)|@import|https?:", "".join(written.values()))


def test_the_source_with_the_state_of_each_line(tmp_path, html):
    written = html(outcome(tmp_path, sample()))
    text = written["arch_x86_kvm_mmu_mmu.c.html"]
    page = Page(text)
    for line in TEXT.splitlines():
        assert line in page.text, line
    rows = dict(re.findall(r'<tr(?: class="([^"]*)")? id="L(\d+)"', text))
    states = {number: state for state, number in re.findall(r'<tr(?: class="([^"]*)")? id="L(\d+)"', text)}
    assert rows and len(states) == len(TEXT.splitlines()) + 1
    assert (states["4"], states["5"], states["6"], states["17"]) == (
        "not-compared",
        "compared",
        "dark",
        "unreachable",
    )
    assert "stories: 2, first <b>first_read</b>" in " ".join(text.split())
    assert '<td class="count" title="stories: 1, first first_read">2</td>' in text
    assert "no run executes it" in text and "unreachable: the option is not set" in text
    assert "2/2" in text and "survived: comparison shifted: if (gfn &lt; 1)" in text


def test_the_index_has_a_map_figures_and_what_is_dark(tmp_path, html):
    text = html(outcome(tmp_path, sample()))["index.html"]
    page = Page(text)
    assert "42 %" in page.text and "(3 of 7)" in page.text
    assert (
        text.count("<svg") == 2
        and "zap(), mmu/mmu.c: 1 compared, 1 not compared, 1 executed, 1 dark" in page.text
    )
    assert "not <measured>" in page.text and "Functions that were not executed: 1" in page.text
    assert all(mark in page.text for mark in "✓✗•○–")


def test_several_kernels_have_an_index_of_kernels(tmp_path, html):
    first, second = outcome(tmp_path / "a"), outcome(tmp_path / "b")
    second = KernelCoverage(**{**vars(second), "title": "7.3 + fix/a.mbox"})
    written = html(first, second)
    assert {"index.html", "6.1/index.html", "7.3___fix_a.mbox/index.html"} <= set(written)
    assert 'href="7.3___fix_a.mbox/index.html"' in written["index.html"]
    for name, text in written.items():
        for link in Page(text).links if name.endswith(".html") else ():
            target = link.partition("#")[0]
            assert (
                not target or posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) in written
            )


def test_a_map_fills_its_area_in_proportion():
    groups = treemap(
        {"a.c": {"one": {"dark": 30}, "two": {"dark": 5, "executed": 5}}, "b.c": {"x": {"dark": 10}}},
        400,
        300,
    )
    sizes = {box.name: box.width * box.height for group in groups for box in group.boxes}
    assert sizes["one"] == pytest.approx(3 * sizes["two"])
    two = next(box for group in groups for box in group.boxes if box.name == "two")
    assert [band.width for band in two.bands] == pytest.approx([two.width / 2] * 2)
    assert all(0 <= box.x <= 400 and box.y + box.height <= 300.1 for group in groups for box in group.boxes)


def test_labels_are_folded_at_underscores_or_left_out():
    groups = treemap({"a.c": {"kvm_tdp_mmu_zap_leafs": {"dark": 100}, "tiny_function": {"dark": 1}}}, 90, 120)
    labels = {box.name: box.label for group in groups for box in group.boxes}
    assert "".join(labels["kvm_tdp_mmu_zap_leafs"][:3]).startswith("kvm_tdp_")
    assert labels["tiny_function"] == ()
