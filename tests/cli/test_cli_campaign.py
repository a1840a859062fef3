"""``conformance campaign``: options, the report of a file, and what is refused."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("distributed")

from conformance.campaigns.lockstep import Lockstep
from conformance.campaigns.results import claimed
from conformance.campaigns.unit import Done, Order, Row, suite_version
from conformance.cli.campaign import Time
from conformance.cli.group import commands
from conformance.differential.verdict import Counterexample, Result, Verdict
from conformance.scenarios.walks import WALKS

ORDER = Order(("6.1",), (), ("npt", "shadow"), 5, "gcc")
AGAIN = "conformance lockstep --kernel 6.1 --mode npt --seed 6 --budget 30"
FOUND = Counterexample({}, {}, {"pfn": "1"}, {"pfn": "2"}, AGAIN, steps=("access gfn=1",))


@pytest.fixture
def folder(tmp_path):
    """A campaign in which 3 of 4 units are finished, one with a difference."""
    kind = Lockstep(ORDER, 30.0, 120.0)
    units = kind.units()
    results = [
        Result("lockstep", "kvm", "lockstep", "npt", Verdict.PASS, 1000, 30.0, "1,000 steps in 9 stories"),
        Result("lockstep", "kvm", "lockstep", "shadow", Verdict.PASS, 500, 30.0, "500 steps in 5 stories"),
        Result("lockstep", "kvm", "lockstep", "npt", Verdict.FAIL, 77, 2.0, "after 77 steps", FOUND),
    ]
    with claimed(tmp_path / "out") as there:
        there.begin(kind, len(units))
        done = zip(units, results, strict=False)
        rows = [(unit, (Row.of("6.1", "6.1.1-1", result),)) for unit, result in done]
        there.write([Done(unit, "host", 31.0, row, suite_version()) for unit, row in rows])
    return tmp_path / "out"


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        commands.main([*map(str, words)], prog_name="conformance")
    return int(ended.value.code or 0)


def test_the_report_of_a_file(folder, capsys):
    assert call("campaign", "report", folder) == 1
    printed = capsys.readouterr().out
    assert "3 of 4 units are finished, 1 min 33 s of computing time (host 3)" in printed
    assert "1 of 2 units, the first: after 77 steps" in printed and AGAIN in printed
    assert "The rest is carried out with --resume." in printed


def test_the_report_as_json_and_junit(folder, tmp_path, capsys):
    assert call("campaign", "report", folder, "--json", "-", "--junit", tmp_path / "j.xml") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1 and document["kind"] == "lockstep"
    assert document["units"] == {"planned": 4, "finished": 3, "seconds": 93.0, "hosts": {"host": 3}}
    assert document["summary"] == {"PASS": 2, "FAIL": 1}
    (found,) = (row["counterexample"] for row in document["rows"] if row["counterexample"])
    assert found["again"] == AGAIN and found["kernel"] == {"pfn": "1"}
    suite = ET.parse(tmp_path / "j.xml").getroot()
    assert len(suite.findall(".//testcase")) == 2 and len(suite.findall(".//failure")) == 1


def test_what_is_no_campaign_is_status_2(tmp_path, capsys):
    assert call("campaign", "report", tmp_path) == 2
    assert "holds no campaign" in capsys.readouterr().err


def test_a_campaign_is_not_begun_twice_and_not_mixed(folder, capsys):
    begun = ("campaign", "lockstep", "--mode", "npt", "--mode", "shadow", "--unit", "30", "--out", folder)
    assert call(*begun, "--seed", "5") == 2
    assert "holds a campaign already, with 3 of 4 units finished. Pass --resume" in capsys.readouterr().err
    assert call(*begun, "--seed", "6", "--resume") == 2
    assert "another campaign, with seed 5 instead of 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mode", "nothing"), "no random stories have mode nothing"),
        (("--kernel", "nothing"), "nothing"),
        (("--budget", "2w"), "pass a time above zero, such as 90, 30m, 8h or 2d"),
        (("--scheduler", "nowhere"), "--scheduler nowhere is no address"),
        (("--patch", "/nonexistent"), "/nonexistent"),
    ],
)
def test_bad_input_is_status_2(words, said, tmp_path, capsys):
    assert call("campaign", "lockstep", *words, "--out", tmp_path / "out") == 2
    complaint = capsys.readouterr().err
    assert said in complaint and "Traceback" not in complaint
    assert not (tmp_path / "out").exists()


def test_times():
    times = {text: Time().read(text) for text in ("90", "1.5m", "8h", "2d", "30s", "1e2")}
    assert [*times.values()] == [90, 90, 28800, 172800, 30, 100]


def test_a_larger_budget_has_the_units_of_a_smaller_one():
    small, large = (Lockstep(ORDER, 30.0, budget).units() for budget in (1.0, 240.0))
    assert [unit.label for unit in small] == ["6.1 npt seed 5", "6.1 shadow seed 5"]
    assert large[:2] == small and len(large) == 8 and len({unit.id for unit in large}) == 8
    every = Lockstep(Order(("6.1", "7.2"), (), (), 0, "gcc"), 30.0, 1.0).units()
    assert len(every) == 2 * len(WALKS)


def test_what_is_not_installed_is_said(folder, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert call("campaign", "report", folder) == 2
    assert "Campaigns need duckdb, which is not installed." in capsys.readouterr().err


def test_a_campaign_without_results_is_status_2(tmp_path, capsys):
    from conformance.campaigns.mutants import Mutants

    kind = Mutants(ORDER)
    with claimed(tmp_path / "out") as there:
        there.begin(kind, 10)
    assert call("campaign", "report", tmp_path / "out", "--junit", tmp_path / "j.xml") == 2
    assert "0 of 10 units are finished" in capsys.readouterr().out
    assert ET.parse(tmp_path / "j.xml").getroot().findall(".//testcase") == []


def test_the_report_for_kcidb(folder, tmp_path, capsys):
    assert call("campaign", "report", folder, "--kcidb", "-") == 1
    first = json.loads(capsys.readouterr().out)
    assert sorted(one["status"] for one in first["tests"]) == ["FAIL", "PASS"]
    assert {one["path"] for one in first["tests"]} == {"kvm.mmu.lockstep"}
    assert call("campaign", "report", folder, "--kcidb", tmp_path / "k.json") == 1
    assert json.loads((tmp_path / "k.json").read_text()) == first, "a second report has the same ids"


def test_the_report_as_a_page(folder, tmp_path, monkeypatch, capsys):
    assert call("campaign", "report", folder, "--html", tmp_path / "a.html") == 1
    assert call("campaign", "report", folder, "--html", tmp_path) == 1
    assert "Differences: 1" in (tmp_path / "a.html").read_text()
    assert (tmp_path / "index.html").read_text() == (tmp_path / "a.html").read_text()
    capsys.readouterr()
    assert call("campaign", "report", folder, "--html", tmp_path / "x", "--json", tmp_path / "x") == 2
    assert "name the same file" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jinja2" else name)
    assert call("campaign", "report", folder, "--html", tmp_path / "b.html") == 2
    assert "Campaigns need jinja2, which is not installed." in capsys.readouterr().err
    assert not (tmp_path / "b.html").exists()
