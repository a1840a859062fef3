# SPDX-License-Identifier: GPL-2.0-only
"""What executes a function before a change; within a series, from the kernel that the series starts from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conformance.coverage.data import Coverage, Executed, Layer
from conformance.errors import ConformanceError
from conformance.review import base_coverage
from conformance.review.base_coverage import FUNCTIONS, STORIES, BaseCoverage

FILE = "arch/x86/kvm/mmu/mmu.c"


def layer(name, **runs):
    return Layer(name, {}, {run: Executed(frozenset(functions), {}) for run, functions in runs.items()})


def texts(*symbols, decided=True):
    pairs = [SimpleNamespace(symbols={symbol}, same=False) for symbol in symbols]
    return SimpleNamespace(pairs=pairs, decided=decided)


@pytest.fixture
def base(monkeypatch, tmp_path):
    """The coverage of a kernel; with ``earlier``, of one that patches of those functions were applied to."""
    measured = []

    def measure(kernel, cache, progress, layers):
        measured.append(kernel.title)
        return Coverage(
            kernel.title, {FUNCTIONS: layer(FUNCTIONS, p=["f"], died=[]), STORIES: layer(STORIES, s=["g"])}
        )

    def call(earlier=None, known=False, lines=("a\nb\n", "a\nb\n")):
        kernels = []
        for name, text in zip(("6.1", "6.1 + a"), lines, strict=True):
            (tmp_path / name / "src" / FILE).parent.mkdir(parents=True)
            (tmp_path / name / "src" / FILE).write_text(text)
            kernels.append(SimpleNamespace(title=name, fingerprint=name, root=tmp_path / name))
        origin, kernel = kernels
        monkeypatch.setattr(base_coverage, "measure", measure)
        monkeypatch.setattr(base_coverage, "known", lambda kernel, cache, name: known or None)
        monkeypatch.setattr(base_coverage, "Texts", lambda before, after: earlier)
        made = BaseCoverage(kernel, None, lambda text: None, origin if earlier else None)
        return made, measured

    return call


def test_what_executes_a_function(base):
    found, measured = base()
    assert found.reach(STORIES, {"g"}) == {"s": {"g"}}
    assert found.executes({"g"}) and not found.executes({"h"})
    assert found.exact
    assert measured == ["6.1 + a"]


def test_what_died_while_it_was_measured_may_execute_anything(base):
    assert base()[0].reach(FUNCTIONS, {"h"}) == {"died": frozenset()}


def test_a_kernel_that_cannot_be_measured(base, monkeypatch):
    def measure(*_):
        raise ConformanceError("no gcc")

    found, _ = base()
    monkeypatch.setattr(base_coverage, "measure", measure)
    with pytest.raises(ConformanceError, match="no gcc"):
        found.executes({"f"})
    assert found.coverage.missing == {FUNCTIONS: "no gcc", STORIES: "no gcc"}


def test_in_a_series_its_first_kernel_is_measured(base):
    found, measured = base(texts("idle"))
    assert found.exact
    assert found.reach(STORIES, {"g"}) == {"s": {"g"}}
    assert measured == ["6.1"]


def test_a_kernel_that_is_measured_itself_is_taken(base):
    found, measured = base(texts("g"), known=True)
    assert found.exact
    assert found.reach(STORIES, {"h"}) == {}
    assert measured == ["6.1 + a"]


def test_what_executes_an_earlier_change_may_execute_more_now(base):
    found, _ = base(texts("g"))
    assert not found.exact
    assert found.executes({"idle"})
    assert found.reach(STORIES, {"idle"}) == {"s": frozenset()}


def test_an_earlier_change_of_a_variable_may_make_anything_run(base):
    found, _ = base(texts(decided=False))
    assert not found.exact
    assert found.reach(STORIES, {"idle"}) == {"s": frozenset()}


def test_lines_have_the_numbers_of_the_kernel_that_was_measured(base):
    found, _ = base(texts("idle"), lines=("a\nb\nc\n", "a\nnew\nb\nother\n"))
    assert [found.line(FILE, number) for number in (1, 2, 3, 4)] == [1, 0, 2, 0]


def test_coverage_is_read_ahead_only_if_it_is_cached(base, monkeypatch):
    found, measured = base()
    found.read_ahead()
    assert "coverage" not in found.__dict__
    monkeypatch.setattr(base_coverage, "known", lambda kernel, cache, name: layer(name, cached=["f"]))
    found.read_ahead()
    assert found.executes({"f"}) and not found.executes({"g"})
    assert measured == []
