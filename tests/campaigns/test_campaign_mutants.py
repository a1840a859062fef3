"""Campaigns of mutants: which units there are, what their rows hold, and the report."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("duckdb")

from conformance.campaigns import mutants as module
from conformance.campaigns.campaign import Campaign
from conformance.campaigns.mutants import NOT_COMPILED, Mutants
from conformance.campaigns.unit import Order, Row
from conformance.coverage.compared.concurrency import concurrency_changes
from conformance.coverage.compared.judging import Verdict
from conformance.coverage.compared.mutants import Outcome
from conformance.coverage.compared.operators import changes
from conformance.errors import ConformanceError
from conformance.reports.campaign_mutants import show
from conformance.reports.terminal import Screen

FILE = "arch/x86/kvm/mmu/spte.c"
SOURCE = b"""\
static int one(int a, int b)
{
\tif (a > b)
\t\treturn a + 1;
\treturn READ_ONCE(b);
}
"""
ORDER = Order(("6.1",), (), (), 3, "gcc")


class Planting:
    """In place of the one that compiles: the second mutant is refused."""

    def __init__(self, kernel, order, whole, cache, progress) -> None:
        self.size = len(order)

    def planted(self):
        return SimpleNamespace(rejected=frozenset({2}))

    def libraries(self, keeping):
        return self.size


class Judge:
    """In place of the one that runs kernel code: the first mutant of a batch survives."""

    open = 0

    def __init__(self, size) -> None:
        Judge.open += 1

    def close(self) -> None:
        Judge.open -= 1

    def judge(self, task) -> Verdict:
        if task.number == 1:
            return Verdict(Outcome.SURVIVED)
        return Verdict(Outcome.COMPARED, ("stories", "a-story", "npt"), "step 3")


@pytest.fixture
def site(tmp_path, monkeypatch):
    (tmp_path / "src" / Path(FILE).parent).mkdir(parents=True)
    (tmp_path / "src" / FILE).write_bytes(SOURCE)
    coverage = SimpleNamespace(layers={"stories": None})
    kernel = SimpleNamespace(root=tmp_path, title="6.1", version="6.1.1")
    every = tuple(
        ((FILE, change.first), change) for change in [*changes(SOURCE), *concurrency_changes(SOURCE)]
    )
    made = module._Site(kernel, coverage, every)
    monkeypatch.setattr(module, "_site", lambda selector, order: made)
    monkeypatch.setattr(module, "likeliest_first", lambda line, change, coverage: (("stories", "a-story"),))
    monkeypatch.setattr(module, "Planting", Planting)
    monkeypatch.setattr(module, "Judge", Judge)
    monkeypatch.setattr(module, "BATCH", 4)
    Judge.open = 0
    yield made
    module._open.clear()


def test_every_mutant_is_a_unit(site):
    units = Mutants(ORDER).units()
    assert len(units) == len(site.every) > 4 and len({unit.id for unit in units}) == len(units)
    some = Mutants(ORDER, ("spte.c:4",)).units()
    assert 0 < len(some) < len(units) and {unit.defined["line"] for unit in some} == {4}
    for place in ("mmu/spte.c", "mmu/", "arch/x86/kvm/"):
        assert len(Mutants(ORDER, (place,)).units()) == len(units)
    with pytest.raises(ConformanceError, match="No executed line has mutants in mu/;"):
        Mutants(ORDER, ("mu/",)).units()
    with pytest.raises(ConformanceError, match=r"No executed line has mutants in pte\.c;"):
        Mutants(ORDER, ("pte.c",)).units()


def test_operators_are_chosen(site):
    units = Mutants(ORDER, (), ("concurrency",)).units()
    assert [unit.defined["change"][0] for unit in units] == ["marked access made plain"]
    assert [unit.defined["number"] for unit in units] == [0]
    sequential = Mutants(ORDER, (), ("sequential",)).units()
    assert len(sequential) + 1 == len(Mutants(ORDER).units())
    with pytest.raises(
        ConformanceError, match=r"No operator is called nosuch; there are the groups sequential"
    ):
        Mutants(ORDER, (), ("nosuch",)).units()
    with pytest.raises(ConformanceError, match=r"No executed line has mutants of locks in the MMU"):
        Mutants(ORDER, (), ("locks",)).units()


def test_rows_of_batches(site):
    kind = Mutants(ORDER)
    rows = [row for unit in kind.units() for row in kind.run(unit)]
    verdicts = [row.verdict for row in rows]
    assert verdicts[:4] == ["survived", NOT_COMPILED, "compared", "compared"]
    assert verdicts[4] == "survived" and Judge.open == 1
    assert (rows[2].engine, rows[2].mode, rows[2].reason) == ("stories", "npt", "a-story: step 3")
    assert json.loads(rows[0].details)["before"] in SOURCE.decode()
    assert rows[0].again.startswith(f"conformance campaign mutants --kernel 6.1 --at {FILE}:")
    assert " --operators '" in rows[0].again


def test_a_worker_with_another_source_judges_nothing(site, monkeypatch):
    (unit, *_) = Mutants(ORDER).units()
    other = module._Site(site.kernel, site.coverage, site.every[::-1])
    monkeypatch.setattr(module, "_site", lambda selector, order: other)
    with pytest.raises(ConformanceError, match="another source or other coverage"):
        Mutants(ORDER).run(unit)


def test_the_report_says_what_is_out_of_reach(site):
    row = Row("f", Outcome.OUT_OF_REACH.value, details=json.dumps({"operator": "barrier dropped"}))
    error = Row("mutants", "ERROR", reason="no memory")
    text = io.StringIO()
    show(Campaign("mutants", "s", {}, 2, (("h", 2.0),) * 2, (row, error)), Screen(text))
    assert "no score" in text.getvalue() and "1 out of reach: order of accesses" in text.getvalue()
    assert "they count neither way" in text.getvalue() and "ERROR  1: no memory" in text.getvalue()


def test_the_report_has_the_score_and_the_survivors(site):
    kind = Mutants(ORDER)
    units = kind.units()[:4]
    rows = tuple(row for unit in units for row in kind.run(unit))
    found = Campaign("mutants", "s", kind.definition, len(kind.units()), (("h", 2.0),) * 4, rows)
    text = io.StringIO()
    show(found, Screen(text))
    printed = text.getvalue()
    assert "score 66.7%: 2 of 3 decided mutants are compared; of all, 20.8% to 93.9%" in printed
    assert "2 compared, 1 survived, 1 not compiled" in printed
    assert f"survived  {FILE}:" in printed and "compared by stories 2" in printed
