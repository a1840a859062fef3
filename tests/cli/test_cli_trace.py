# SPDX-License-Identifier: GPL-2.0-only
"""``trace``: its exit status, its reports, the life of a gfn, the timeline, and how to record."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

CHANGED = "kvm_tdp_mmu_spte_changed: as id 0 gfn {:x} level 1 old_spte {:x} new_spte {:x}\n"
HEAD = " qemu-<b>-42  [001] .....  1.000001: "
TABLES = (
    f"{HEAD}kvm_page_fault: vcpu 0 rip 0x1000 address 0x0000000000001000 error_code 0x100000014\n"
    f"{HEAD}kvm_tdp_mmu_spte_changed: as id 0 gfn 0 level 2 old_spte 0 new_spte 107003827\n"
)
LEAF = 0x123456E67


def clean(count: int = 30) -> str:
    lines = [HEAD + CHANGED.format(gfn, 0, LEAF + (gfn << 12)) for gfn in range(count)]
    return TABLES + "".join(lines)


def violated() -> str:
    return (
        clean()
        + HEAD
        + CHANGED.format(5, LEAF + 0x5000, LEAF + 0x9000)
        + f"{HEAD}kvm_entry: vcpu 0, rip 0x1\n"
    )


@pytest.fixture
def traces(tmp_path):
    for name, text in {"clean.txt": clean(), "bad.txt": violated(), "empty.txt": "nothing\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_clean_trace(cli, traces):
    done = cli("trace", traces / "clean.txt")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1] == (
        "6.1, npt: AMD nested paging; 48 address bits "
        "(the kernel, the mode and the host's address bits inferred)"
    )
    assert "not in any trace: dirty pages that were lost" in done.stdout
    assert "0 violations, 0 suspicions" in lines[-1]


def test_a_violation_has_its_lines_sptes_rule_source_and_function(cli, traces):
    done = cli("trace", traces / "bad.txt")
    assert done.exit_code == 1
    assert "VIOLATION  R2 page  line 33: the page at 0x12345b000 is replaced by the one at" in done.stdout
    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("VIOLATION"))
    assert "1  qemu-<b>-42" in lines[at + 1] and "gfn 5 level 1 old_spte 0" in lines[at + 2]
    assert "old_spte 12345be67 new_spte 12345fe67" in lines[at + 3]
    assert "present, RWX" in lines[at + 4] and "host-writable" in lines[at + 5]
    assert [line.split()[0] for line in lines[at + 6 : at + 9]] == ["rule", "source", "made"]
    assert "handle_changed_spte()" in lines[at + 8]


def test_what_cannot_be_judged(cli, traces):
    done = cli("trace", traces / "empty.txt")
    assert done.exit_code == 2 and "not judged: it has no event of the KVM MMU" in done.stdout
    for arguments, message in (
        ((traces / "absent",), "cannot read it: No such file"),
        ((traces / "clean.txt", "--mode", "ept"), "there is no mode ept"),
        ((traces / "clean.txt", "--kernel", "all"), "one kernel"),
        ((traces / "clean.txt", "--gfn", "x"), "no hex number"),
        ((traces / "clean.txt", "--gfn", "1", "--sptep", "2"), "exclude each other"),
        ((traces / "clean.txt", traces / "bad.txt", "--html", traces / "x.html"), "one FILE"),
        (("-", "-"), "Stdin can be read once"),
    ):
        done = cli("trace", *arguments)
        assert done.exit_code == 2 and message in done.stderr, arguments
    assert cli("trace", traces / "clean.txt", "--mode", "ept-ad", "--bisect").exit_code == 125
    assert "not that of the trace" in cli("trace", traces / "clean.txt", "--mode", "ept-ad").stdout


def test_stdin_several_files_and_what_is_given(cli, traces):
    assert cli("trace", "-", given=violated()).exit_code == 1
    done = cli("trace", traces / "clean.txt", traces / "bad.txt")
    assert done.exit_code == 1 and done.stdout.count("rules checked") == 2
    done = cli("trace", traces / "clean.txt", "--kernel", "6.1", "--mode", "npt", "--maxphyaddr", "46")
    assert done.stdout.splitlines()[1] == "6.1, npt: AMD nested paging; 46 address bits"


def test_reports(cli, traces):
    files = ("--junit", traces / "j.xml", "--mail", traces / "mail", "--ktap", traces / "ktap")
    done = cli("trace", traces / "bad.txt", "--json", "-", *files, "--sarif", traces / "sarif")
    assert done.exit_code == 1
    (kernel,) = json.loads(done.stdout)["kernels"]
    by_rule = {result["property"]: result for result in kernel["results"]}
    assert by_rule["R2 page"]["verdict"] == "FAIL"
    assert by_rule["R2 page"]["counterexample"]["rule"].startswith("a present leaf SPTE is zapped")
    assert by_rule["R6 valid"]["verdict"] == "SKIP" and "check_mmio_spte" in by_rule["R6 valid"]["reason"]
    assert "No trace shows" in kernel["notes"][-1]
    suites = ET.parse(traces / "j.xml").getroot()
    assert len(suites.findall(".//failure")) == 1
    assert "R2 page" in (traces / "mail").read_text() and "not ok" in (traces / "ktap").read_text()
    assert json.loads((traces / "sarif").read_text())["runs"]
    assert cli("trace", traces / "empty.txt", "--json", "-").exit_code == 2


def test_the_life_of_a_gfn(cli, traces):
    done = cli("trace", traces / "bad.txt", "--gfn", "5")
    life = done.stdout.partition("gfn 0x5: ")[2].splitlines()
    assert life[0] == "3 events"
    assert [line.split()[0] for line in life if line.strip()[0].isdigit()][1:] == ["2", "8", "33"]


def test_the_timeline_is_one_page_and_escapes_everything(cli, traces):
    done = cli("trace", traces / "bad.txt", "--html", traces / "life.html")
    assert done.exit_code == 1
    page = (traces / "life.html").read_text()
    assert "<svg" in page and "gfn 0x5" in page and "R2 page" in page
    assert "qemu-&lt;b&gt;-42" in page and "<b>-42" not in page
    assert "http" not in page and "<script" not in page
    root = ET.fromstring(page.partition("<body>")[2].join(["<body>", ""]).replace("</html>", ""))
    assert len(root.findall(".//svg/rect")) >= 4


def test_record_prints_lines_to_copy(cli):
    done = cli("trace", "record", "--", "qemu-system-x86_64", "-m", "2G")
    assert done.exit_code == 0
    assert "trace-cmd record -b 20480 -e kvmmmu" in done.stdout and "qemu-system-x86_64 -m 2G" in done.stdout
    assert "perf record" in done.stdout and "bpftrace" in done.stdout and "record.bt" in done.stdout
