"""Units' ids, the file of results, and what a directory of another campaign is answered."""

from __future__ import annotations

import multiprocessing
import resource
from dataclasses import asdict, replace
from pathlib import Path

import pytest

pytest.importorskip("duckdb")

import duckdb
from counting import Counting

from conformance.campaigns import results as results_module
from conformance.campaigns import schema
from conformance.campaigns import unit as unit_module
from conformance.campaigns.results import claimed, read
from conformance.campaigns.schema import FILE, SCHEMA
from conformance.campaigns.unit import Done, Row, Unit, suite_version
from conformance.differential.verdict import Counterexample, Result, Verdict
from conformance.errors import ConformanceError


def done(unit: Unit, *rows: Row) -> Done:
    return Done(unit, "here", 1.5, rows or (Row("counting", "PASS", steps=3),), suite_version())


def test_an_id_depends_on_the_definition_and_on_the_suite_only(monkeypatch):
    one = Unit.of("lockstep", "a label", mode="npt", seed=1)
    assert one.id == Unit.of("lockstep", "another label", seed=1, mode="npt").id
    others = [Unit.of("lockstep", "", mode="npt", seed=2), Unit.of("races", "", mode="npt", seed=1)]
    before = one.id
    assert before not in {other.id for other in others}
    monkeypatch.setattr(unit_module, "suite_version", lambda: "another")
    assert one.id != before


def test_rows_are_read_as_they_were_written(tmp_path):
    kind = Counting(3)
    found = Counterexample({"a": 1 << 63}, {}, {"x": "1"}, {"x": "2"}, "again this", steps=("one", "two"))
    failed = Result("p", "kvm", "lockstep", "npt", Verdict.FAIL, 5, 0.5, "why", found)
    row = Row.of("6.1", "6.1.1", failed)
    with claimed(tmp_path) as results:
        assert results.finished(kind, resume=False) == set()
        results.begin(kind, 3)
        results.write([done(kind.units()[1], row, Row("counting", "PASS", kernel="6.1", version="6.1.1"))])
    there = read(tmp_path)
    assert (there.kind, there.suite, there.planned) == ("counting", suite_version(), 3)
    assert there.units == (("here", 1.5),) and there.rows[0] == row and not there.finished
    (kernel,) = there.report().kernels
    assert kernel.results[0] == failed
    assert there.report().status == 1


def test_the_columns_are_those_of_the_schema(tmp_path):
    with claimed(tmp_path) as results:
        results.begin(Counting(1), 1)
    with duckdb.connect(str(tmp_path / FILE)) as database:
        columns = [name for name, *_ in database.execute("SELECT * FROM rows").description]
        tables = {
            name: database.execute(f"SELECT * FROM {name}").description for name in ("campaign", "units")
        }
    assert columns == ["unit", "number", *asdict(Row("", ""))]
    named = [*columns, *(name for table in tables.values() for name, *_ in table)]
    assert [name for name in named if f"    {name} " not in str(schema.__doc__)] == []


def test_a_unit_is_written_once(tmp_path):
    kind = Counting(2)
    with claimed(tmp_path) as results:
        results.begin(kind, 2)
        results.write([done(kind.units()[0])])
        with pytest.raises(ConformanceError, match="cannot write the results"):
            results.write([done(kind.units()[1]), done(kind.units()[0])])
        assert results.finished(kind, resume=True) == {kind.units()[0].id}


def test_another_campaign_or_another_suite_is_refused(tmp_path, monkeypatch):
    class Other(Counting):
        @property
        def definition(self):
            return {**super().definition, "seed": 8}

    with claimed(tmp_path) as results:
        results.begin(Counting(2), 2)
        with pytest.raises(ConformanceError, match="holds a campaign already, with 0 of 2 units"):
            results.finished(Counting(2), resume=False)
        with pytest.raises(ConformanceError, match="another campaign, with seed 7 instead of 8"):
            results.finished(Other(2), resume=True)
        monkeypatch.setattr(results_module, "suite_version", lambda: "0.9+abc")
        with pytest.raises(ConformanceError, match=r"and this is 0\.9\+abc"):
            results.finished(Counting(2), resume=True)


def test_one_command_at_a_time(tmp_path):
    with claimed(tmp_path), pytest.raises(ConformanceError, match="another command"), claimed(tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(ConformanceError, match="is a file"), claimed(tmp_path / "file"):
        pass


def test_what_is_no_file_of_a_campaign_is_said(tmp_path):
    with pytest.raises(ConformanceError, match="holds no campaign"):
        read(tmp_path)
    (tmp_path / FILE).write_bytes(b"something else" * 1000)
    with pytest.raises(ConformanceError, match="cannot be read as the results of a campaign"):
        read(tmp_path)
    (tmp_path / FILE).unlink()
    with claimed(tmp_path) as results:
        results.begin(Counting(2), 2)
    with duckdb.connect(str(tmp_path / FILE)) as database:
        database.execute("UPDATE campaign SET schema = 99")
    with pytest.raises(ConformanceError, match=f"has schema 99, and this suite reads {SCHEMA}"):
        read(tmp_path)


def _fill(folder: Path, limit: int, ended) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    kind = Counting(2)
    with claimed(folder) as results:
        results.begin(kind, 2)
        try:
            results.write([done(kind.units()[1], *[Row("x" * 4000, str(n)) for n in range(500)])])
        except ConformanceError as problem:
            ended.put(str(problem))
        else:
            ended.put("written")


def test_a_disk_that_fills_loses_nothing_that_was_written(tmp_path):
    kind = Counting(2)
    with claimed(tmp_path) as results:
        results.begin(kind, 2)
        results.write([done(kind.units()[0])])
    context = multiprocessing.get_context("spawn")
    ended = context.SimpleQueue()
    full = context.Process(target=_fill, args=(tmp_path, (tmp_path / FILE).stat().st_size + 1000, ended))
    full.start()
    full.join()
    said = ended.get()
    assert "cannot write the results" in said and "File too large" in said and "--resume" in said
    assert len(read(tmp_path).rows) == 1
    with claimed(tmp_path) as results:
        assert results.finished(kind, resume=True) == {kind.units()[0].id}
        results.write([done(kind.units()[1])])
    assert len(read(tmp_path).rows) == 2


def test_many_units_of_a_mode_are_one_result():
    kind = Counting(3)
    rows = tuple(Row("p", "PASS", "6.1", "6.1.1", "kvm", "e", "npt", steps=n) for n in range(3))
    campaign = results_module.Campaign(kind.name, "s", kind.definition, 3, (("h", 1.0),) * 3, rows)
    (kernel,) = campaign.report().kernels
    assert [(one.verdict, one.cases) for one in kernel.results] == [(Verdict.PASS, 3)]
    failed = replace(campaign, rows=(*rows, replace(rows[0], verdict="FAIL", reason="bad")))
    (one,) = failed.report().kernels[0].results
    assert one.verdict is Verdict.FAIL and one.reason == "1 of 4 units, the first: bad"
