# SPDX-License-Identifier: GPL-2.0-only
"""What ``run`` accepts, passes on, prints and writes."""

import json
import os
import stat
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from conformance.deadline import TimeLimitReached
from conformance.differential.property_plan import PropertyPlan


def test_defaults(cli, plans):
    assert cli("run").exit_code == 0
    assert plans == [PropertyPlan()]


def test_every_option_arrives(cli, plans):
    args = "--kernel 6.1 --kernel tree:x@y --patch a.mbox --patch b.diff --only make_spte --engine bulk"
    args += " --engine fuzz --oracle kvm --mode npt --mode ept-ad --budget 1.5 --seed 0x10 --jobs 7"
    args += " --case 0x600000000000975,FFFFFFFFFFFFFFFF,0 --profile nightly"
    assert cli("run", *args.split()).exit_code == 0
    assert plans == [
        PropertyPlan(
            kernels=("6.1", "tree:x@y"),
            patches=(Path("a.mbox"), Path("b.diff")),
            only=("make_spte",),
            engines=("bulk", "fuzz"),
            oracle="kvm",
            modes=("npt", "ept-ad"),
            budget=1.5,
            seed=16,
            case=(0x0600000000000975, (1 << 64) - 1, 0),
            jobs=7,
            profile="nightly",
        )
    ]


def test_the_profile_comes_from_the_environment_too(cli, plans, monkeypatch):
    monkeypatch.setenv("CONFORMANCE_PROFILE", "ci")
    assert cli("run").exit_code == 0 and cli("run", "--profile", "nightly").exit_code == 0
    assert [plan.profile for plan in plans] == ["ci", "nightly"]
    monkeypatch.setenv("CONFORMANCE_PROFILE", "nonsense")
    assert cli("run").exit_code == 2


@pytest.mark.parametrize(
    ("option", "values", "hint"),
    [
        ("--budget", ["0", "-1", "nan", "inf", "1e999", "x", "", "1_0", "١"], "above zero"),
        ("--seed", ["-1", "x", "1.5", "18446744073709551616", "9" * 5000, "", "1_0"], "from 0 to 2^64-1"),
        ("--jobs", ["0", "-1", "1.5", "x", "1025", "9" * 5000], "from 1 to 1024"),
        ("--case", ["", "zz", "1,,2", "0x", "-1", "0x10000000000000000", "1;2"], "hex words"),
    ],
)
def test_bad_numbers_are_refused_with_what_to_pass(cli, plans, option, values, hint):
    for value in values:
        done = cli("run", "--only", "make_spte", f"{option}={value}")
        assert (done.exit_code, hint in done.stderr, option in done.stderr) == (2, True, True), value
    assert plans == []


@pytest.mark.parametrize("text", ["7", "007", "0x7", "0X07"])
def test_seeds(cli, plans, text):
    assert cli("run", "--seed", text).exit_code == 0 and plans[0].seed == 7


def test_seed_takes_all_of_64_bits(cli, plans):
    assert cli("run", "--seed", "18446744073709551615").exit_code == 0 and plans[0].seed == 2**64 - 1


@pytest.mark.parametrize("only", [[], ["make_*"], ["make_spte", "is_large_pte"], ["make_spt?"], ["[m]ake"]])
def test_a_case_needs_the_one_property_it_belongs_to(cli, plans, only):
    done = cli("run", "--case", "0x1", *[part for name in only for part in ("--only", name)])
    assert done.exit_code == 2 and "--only PROPERTY" in done.stderr and plans == []


def test_table_on_stdout_progress_on_stderr(cli):
    done = cli("run", "--only", "FAIL")
    assert done.stdout.startswith("6.1  6.1.176-1  shim\n")
    assert "\n      again   conformance run --case 0x1\n" in done.stdout
    # Every line of progress is clean: it may hold names that come from outside.
    assert done.stderr == "comparing\\x1b[2J\ndifference found: is_large_pte npt by fuzz\n"


def test_all_formats_at_once(cli, tmp_path):
    names = {
        "--junit": "a.xml",
        "--ktap": "a.ktap",
        "--json": "a.json",
        "--sarif": "a.sarif",
        "--mail": "a.txt",
    }
    args = [part for option, name in names.items() for part in (option, tmp_path / name)]
    done = cli("run", "--only", "FAIL", *args)
    assert done.exit_code == 1 and "FAIL  is_large_pte" in done.stdout
    assert ET.parse(tmp_path / "a.xml").getroot().get("failures") == "1"
    assert "not ok 1 is_large_pte" in (tmp_path / "a.ktap").read_text()
    assert json.loads((tmp_path / "a.json").read_text())["summary"]["FAIL"] == 1
    assert json.loads((tmp_path / "a.sarif").read_text())["runs"][0]["results"]
    assert "FAIL  is_large_pte" in (tmp_path / "a.txt").read_text()
    assert len([*tmp_path.iterdir()]) == 5


def test_stdout_carries_one_format_only(cli):
    done = cli("run", "--only", "FAIL", "--json", "-")
    assert json.loads(done.stdout)["summary"]["FAIL"] == 1
    assert "FAIL  is_large_pte" in done.stderr and done.exit_code == 1
    done = cli("run", "--ktap", "-")
    assert done.stdout.startswith("KTAP version 1\n1..1\n") and done.stdout.endswith("\nok 1 6.1\n")
    done = cli("run", "--ktap", "-", "--json", "-")
    assert done.exit_code == 2 and done.stdout == "" and "give one of them a file" in done.stderr
    done = cli("run", "--sarif", "-", "--mail", "-")
    assert done.exit_code == 2 and "--sarif - and --mail -" in done.stderr
    assert cli("run", "--junit", "-").exit_code == 2


@pytest.mark.parametrize("option", ["--junit", "--ktap", "--json", "--sarif", "--mail"])
@pytest.mark.parametrize("name", ["missing/a", "", "dir"])
def test_an_unwritable_file_is_known_before_anything_runs(cli, plans, tmp_path, monkeypatch, option, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dir").mkdir()
    done = cli("run", f"{option}={name}")
    assert done.exit_code == 2 and option in done.stderr and plans == []
    assert cli("run", "--bisect", f"{option}={name}").exit_code == 125


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_not_writable_is_known_too(cli, plans, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert cli("run", "--junit", tmp_path / "a.xml").exit_code == 2 and plans == []


def test_two_reports_do_not_share_a_file(cli, plans, tmp_path):
    (tmp_path / "link").symlink_to("a")
    done = cli("run", "--junit", tmp_path / "a", "--json", tmp_path / "link")
    assert done.exit_code == 2 and "same file" in done.stderr and plans == []


@pytest.mark.parametrize(("outcome", "status"), [("PASS", 2), ("FAIL", 1)])
def test_a_report_that_cannot_be_written_is_no_pass_and_hides_no_difference(
    cli, tmp_path, monkeypatch, outcome, status
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    done = cli("run", "--only", outcome, "--junit", tmp_path / "a.xml")
    assert done.exit_code == status and "No space left" in done.stderr and "is_large_pte" in done.stdout
    assert [*tmp_path.iterdir()] == []


def test_nothing_is_written_when_nothing_could_run(cli, tmp_path):
    assert cli("run", "--only", "refused", "--junit", tmp_path / "a.xml").exit_code == 2
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "command",
    [("run",), ("prove",), ("scenario", "run"), ("lockstep",), ("explore", "run"), ("diff",), ("patch",)],
)
def test_every_command_that_takes_long_can_be_ended(cli, command):
    assert "--time-limit SECONDS" in cli(*command, "--help").stdout
    done = cli(*command, "--time-limit", "0")
    assert done.exit_code == 2 and "above zero" in done.stderr


def test_a_time_limit_that_nothing_handles_is_reported(cli, monkeypatch):
    def ends(*args, **given):
        raise TimeLimitReached(7)

    monkeypatch.setattr(sys.modules["conformance.differential.run_properties"], "run", ends)
    done = cli("run", "--time-limit", "7")
    assert done.exit_code == 2
    assert "the time limit of 7 s ended; the results printed above are those known by then" in done.stderr


def test_kcidb(cli, plans, tmp_path, monkeypatch):
    done = cli("run", "--kcidb", "-", "--only", "FAIL")
    assert done.exit_code == 1 and json.loads(done.stdout)["tests"][0]["status"] == "FAIL"
    assert cli("run", "--kcidb", tmp_path / "k.json").exit_code == 0
    assert json.loads((tmp_path / "k.json").read_text())["version"]["major"] == 5
    plans.clear()
    monkeypatch.setenv("CONFORMANCE_KCIDB_ORIGIN", "A B")
    assert cli("run", "--kcidb", "-").exit_code == 2
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = cli("run", "--kcidb", tmp_path / "l.json")
    assert done.exit_code == 2 and "--kcidb needs kcidb-io, which is not installed." in done.stderr
    assert plans == [] and not (tmp_path / "l.json").exists()
