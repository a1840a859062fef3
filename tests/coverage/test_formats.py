# SPDX-License-Identifier: GPL-2.0-only
"""lcov and Cobertura files are read back by independent parsers; diff-cover reads the coverage of a patch."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from coverage_samples import MMU, TEXT, outcome

from conformance.coverage.formats import changed_lines, export
from conformance.errors import ConformanceError

pytest.importorskip("gcovr")
pytest.importorskip("diff_cover")

HITS = {2: 5, 4: 5, 5: 2, 6: 0, 14: 0, 16: 0, 20: 0}
"""The lines of the sample and how often they were executed, without those that cannot be."""


def test_cobertura_has_every_line_with_its_count(tmp_path):
    root = ElementTree.fromstring(
        export(outcome(tmp_path), "cobertura").partition("<coverage")[2].join(["<coverage", ""])
    )
    (found,) = [one for one in root.iter("class") if one.get("filename") == MMU]
    assert {int(line.get("number", 0)): int(line.get("hits", -1)) for line in found.find("lines")} == HITS
    (condition,) = [line for line in found.find("lines") if line.get("number") == "4"]
    assert condition.get("condition-coverage") == "100% (2/2)"
    assert root.get("lines-covered") == "3" and root.get("lines-valid") == "7"


def test_lcov_is_read_by_diff_covers_parser(tmp_path):
    from diff_cover.violationsreporters.violations_reporter import LcovCoverageReporter

    (tmp_path / "k").mkdir()
    trace = tmp_path / "kernel.info"
    trace.write_text(export(outcome(tmp_path / "k"), "lcov"))
    (found,) = LcovCoverageReporter.parse(str(trace)).values()
    assert {int(line): int(count) for line, count in found.items()} == HITS


@pytest.mark.skipif(shutil.which("lcov") is None, reason="lcov is not installed")
def test_lcov_is_read_by_lcov(tmp_path):
    trace = tmp_path / "kernel.info"
    (tmp_path / "k").mkdir()
    trace.write_text(export(outcome(tmp_path / "k"), "lcov"))
    done = subprocess.run(["lcov", "--summary", trace], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "42.9% (3 of 7 lines)" in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("genhtml") is None, reason="lcov is not installed")
def test_lcov_is_read_by_genhtml(tmp_path):
    trace = tmp_path / "kernel.info"
    (tmp_path / "k").mkdir()
    trace.write_text(export(outcome(tmp_path / "k"), "lcov"))
    words = ["genhtml", "--quiet", "--branch-coverage", "--output-directory", tmp_path / "out", trace]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/index.html").is_file()


def test_a_function_whose_first_line_has_no_code_adds_no_line(tmp_path):
    given = outcome(tmp_path)
    file = given.files[MMU]
    given.files[MMU] = replace(file, lines={n: line for n, line in file.lines.items() if n != 2})
    trace = export(given, "lcov")
    assert "FN:4,zap" in trace and "DA:2," not in trace


def test_the_coverage_of_changed_lines(tmp_path):
    (tmp_path / "k").mkdir()
    before = tmp_path / "before"
    (before / MMU).parent.mkdir(parents=True)
    shorter = TEXT.replace("\t\treturn flush(gfn);\n", "\t\treturn 1;\n").replace(
        "\treturn 0;\n}\n\nst", "}\n\nst"
    )
    (before / MMU).write_text(shorter)
    (changed,) = changed_lines(outcome(tmp_path / "k"), before)
    assert (changed.file, changed.lines, changed.dark) == (MMU, 2, (6,))


def test_nothing_changed(tmp_path):
    found = outcome(tmp_path)
    assert changed_lines(found, found.source) == ()


def test_diff_cover_reads_our_cobertura_file_in_a_git_tree(tmp_path):
    """As docs/coverage.md shows it: the user's tree, the patch as its last commit."""
    repository = tmp_path / "linux"
    (repository / MMU).parent.mkdir(parents=True)

    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
            cwd=repository, check=True, capture_output=True,
        )  # fmt: skip

    git("init", "-q", "-b", "main")
    (repository / MMU).write_text(TEXT.replace("\treturn 0;\n}\n\nst", "}\n\nst"))
    git("add", ".")
    git("commit", "-qm", "before")
    git("checkout", "-qb", "patch")
    (repository / MMU).write_text(TEXT)
    git("commit", "-qam", "after")
    (tmp_path / "k").mkdir()
    (repository / "coverage.xml").write_text(export(outcome(tmp_path / "k"), "cobertura"))
    done = subprocess.run(
        [sys.executable, "-m", "diff_cover.diff_cover_tool", "coverage.xml", "--compare-branch", "main"],
        cwd=repository, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{MMU} (0.0%): Missing lines 6" in done.stdout


def test_without_gcovr(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ConformanceError, match=r"--lcov: gcovr is not installed.*pip install '.\[coverage\]'"
    ):
        export(outcome(tmp_path), "lcov")
    with pytest.raises(ConformanceError, match="gcovr and diff-cover are not installed"):
        changed_lines(outcome(tmp_path / "k"), tmp_path)
