# SPDX-License-Identifier: GPL-2.0-only
"""A run of selftests without a machine: what is run, skipped, cut off, and what ends the run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from conformance.differential.verdict import Verdict
from conformance.errors import ConformanceError
from conformance.kernels.selftests import Selftests
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.deaths import LiveDied
from conformance.sandbox.processes import Ended as TimeIsUp
from conformance.selftests import run_selftests
from conformance.selftests.run_selftests import SelftestPlan, run
from conformance.selftests.running import Ended
from conformance.selftests.table import Selftest

TABLE = (
    Selftest("first_test", about="."),
    Selftest("second_test.fast", "-x 1", ".", renamed="older_test"),
    Selftest("unbuilt_test", about="."),
    Selftest("absent_test", about="."),
    Selftest("huge_test", left_out="it is too large"),
)

BUILT = Selftests(
    "6.1",
    "6.1.1-1",
    None,
    SimpleNamespace(),
    {"first_test": Path("first_test"), "older_test": Path("older_test")},
    {"unbuilt_test": "a.c:1: error: no"},
    (),
)


class FakeMachines:
    """Ends programs as ``ends`` says; an exception is raised."""

    ends: ClassVar[dict[str, object]] = {}
    ran: ClassVar[list[str]] = []

    def __init__(self, kernel, programs, cache, progress, setting) -> None:
        self.unbootable = False
        self.ran.append(f"loaded {setting.kvm} {setting.parameters}")

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None:
        self.ran.append("closed")

    def boot(self) -> None:
        pass

    def run(self, program: str, one: Selftest) -> Ended:
        self.ran.append(f"{program} {one.arguments}".rstrip())
        end = self.ends.get(program) or Ended(0, (), ())
        if isinstance(end, BaseException):
            self.unbootable = "panic" in str(end)
            raise end
        return end


@pytest.fixture(autouse=True)
def machines(monkeypatch):
    monkeypatch.setattr(run_selftests, "Machines", FakeMachines)
    monkeypatch.setattr(
        run_selftests, "kernel_to_boot", lambda *_: SimpleNamespace(title="image", drift=None)
    )
    monkeypatch.setattr(run_selftests, "open_selftests", lambda *_, **__: BUILT)
    monkeypatch.setattr("conformance.selftests.table.table", lambda: TABLE)
    FakeMachines.ends = {}
    FakeMachines.ran.clear()
    return FakeMachines


def verdicts(report):
    return {one.property: one.verdict.value for one in report.kernels[0].results}


def ran(*names: str, **given):
    return run(SelftestPlan(names=names, **given), progress=lambda line: None)


def test_what_is_run_and_what_is_not(machines):
    report = ran()
    assert machines.ran == ["loaded {} {}", "first_test", "older_test -x 1", "closed"]
    assert verdicts(report) == {
        "first_test": "PASS",
        "second_test.fast": "PASS",
        "unbuilt_test": "SKIP",
        "absent_test": "SKIP",
        "huge_test": "SKIP",
    }
    reasons = {one.property: one.reason for one in report.kernels[0].results}
    assert reasons["unbuilt_test"] == "does not build: a.c:1: error: no"
    assert reasons["absent_test"] == "this kernel's source does not have it"
    assert reasons["huge_test"] == "it is too large"
    assert report.status == 0 and report.kernels[0].notes == ("booted: image",)


def test_nothing_but_skips_is_no_pass():
    assert ran("huge_test").status == 2


def test_a_death_does_not_end_the_run(machines):
    machines.ends = {"first_test": LiveDied("did not come back within 9 s", True, ["last line"])}
    report = ran("first_test", "second_test")
    assert verdicts(report) == {"first_test": "FAIL", "second_test.fast": "PASS"}
    found = report.kernels[0].results[0].counterexample
    assert found.again == "conformance selftests first_test --kernel 6.1"
    assert found.details == ("kernel: last line",)
    assert report.status == 1


def test_a_kernel_that_does_not_boot(machines):
    machines.ends = {"first_test": LiveDied("crashed: Kernel panic", False, ["Kernel panic"])}
    report = ran("first_test", "second_test")
    assert verdicts(report) == {"boot": "FAIL", "first_test": "MISS", "second_test.fast": "MISS"}
    assert machines.ran == ["loaded {} {}", "first_test", "closed"]
    assert report.status == 1


def test_modes(machines):
    machines.ends = {"first_test": Ended(1, (), ())}
    (report,) = ran("first_test", modes=("legacy-npt", "shadow", "shadow")).kernels
    assert machines.ran == [
        "loaded {'tdp_mmu': 'N'} {}",
        "first_test",
        "closed",
        "loaded {} {'npt': '0'}",
        "first_test",
        "closed",
    ]
    assert [one.mode for one in report.results] == ["legacy-npt", "shadow"]
    again = [one.counterexample.again for one in report.results]
    assert again[1] == "conformance selftests first_test --kernel 6.1 --mode shadow"


def test_lack_of_time_is_no_finding(machines):
    machines.ends = {"first_test": Lacking("an emulated machine got too little time")}
    assert verdicts(ran("first_test")) == {"first_test": "ERROR"}
    assert ran("first_test").status == 2


def test_a_time_limit(machines):
    machines.ends = {"older_test": TimeIsUp("the time limit")}
    report = ran("first_test", "second_test", "huge_test", kernels=("6.1", "7.3"))
    assert verdicts(report) == {"first_test": "PASS", "second_test.fast": "MISS", "huge_test": "MISS"}
    assert report.kernels[1].error == "7.3: not reached: the time limit."
    assert report.status == 2 and machines.ran[-1] == "closed"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kernels": ("tree:/nowhere",)}, "tree:/nowhere: a tree is not built here"),
        ({"image": Path("vmlinux")}, "--image and --modules go together"),
        ({"modules": Path("lib")}, "--image and --modules go together"),
        ({"image": Path("a"), "modules": Path("b"), "kernels": ("6.1", "7.3")}, "give one --kernel"),
        ({"modes": ("ept-ad",)}, "In mode ept-ad no selftests are run; there are npt, legacy-npt, shadow"),
        ({"kernels": ("6.0",)}, "There is no kernel '6.0'"),
    ],
)
def test_bad_input(given, words):
    with pytest.raises(ConformanceError, match=words):
        ran(**given)


def test_the_command_to_repeat_it_names_what_was_booted(machines):
    machines.ends = {"first_test": Ended(1, (), ())}
    plan = {"image": Path("a b"), "modules": Path("m"), "patches": (Path("p.mbox"),), "kernels": ("tree:/x",)}
    (found,) = ran("first_test", **plan).kernels[0].results
    assert found.verdict is Verdict.FAIL
    assert found.counterexample.again == (
        "conformance selftests first_test --kernel tree:/x --patch p.mbox --image 'a b' --modules m"
    )
