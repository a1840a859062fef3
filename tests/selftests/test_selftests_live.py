# SPDX-License-Identifier: GPL-2.0-only
"""Selftests of 6.1 in its live kernel: some pass, and planted failures, a hang and a crash are seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from planting import patch_for

from conformance.differential.verdict import Result, Verdict
from conformance.kernels.substitutions import KVM_MAIN_C, Substitution
from conformance.selftests import table
from conformance.selftests.modes import MODES
from conformance.selftests.run_selftests import SelftestPlan, run
from conformance.selftests.table import Selftest

pytestmark = [pytest.mark.kernel, pytest.mark.network, pytest.mark.slow]

PASSING = (
    "demand_paging_test.anonymous",
    "dirty_log_perf_test.huge-pages",
    "nx_huge_pages_test",
    "state_test",
)

PROGRAMS = {
    "fails_test": 'printf("first\\nlast line\\n"); return 254;',
    "crashes_test": "return *(volatile int *)16;",
    "skips_test": 'printf("1..0 # SKIP - not here\\n"); return 4;',
    "hangs_test": "for (;;) ;",
    "passes_test": 'printf("1..1\\nok 1 all\\n"); return 0;',
}
"""The bodies of programs that a patch adds to the selftests."""

CRASH = Substitution(
    KVM_MAIN_C,
    "switch (ioctl) {",
    "BUG_ON(ioctl == KVM_GET_DIRTY_LOG);\n\tswitch (ioctl) {",
    function="kvm_vm_ioctl",
)
LOST = Substitution(
    KVM_MAIN_C,
    "set_bit_le(rel_gfn, memslot->dirty_bitmap);",
    "(void)rel_gfn;",
    function="mark_page_dirty_in_slot",
)


def addition(name: str) -> str:
    """The diff that adds a program."""
    lines = ["+#include <stdio.h>", f"+int main(void) {{ {PROGRAMS[name]} }}"]
    file = f"tools/testing/selftests/kvm/{name}.c"
    return "\n".join(["--- /dev/null", f"+++ b/{file}", "@@ -0,0 +1,2 @@", *lines, ""])


def ran(*names: str, patches: tuple[Path, ...] = (), mode: str = "npt") -> dict[str, Result]:
    plan = SelftestPlan(("6.1",), patches, names, (mode,))
    (report,) = run(plan, progress=lambda line: None).kernels
    assert not report.error
    return {one.property: one for one in report.results}


@pytest.mark.parametrize("mode", MODES)
def test_selftests_pass(mode):
    found = {name: one.verdict for name, one in ran(*PASSING, mode=mode).items()}
    assert found == dict.fromkeys(PASSING, Verdict.PASS)


def test_ends_of_programs(tmp_path, monkeypatch):
    added = tmp_path / "added.patch"
    added.write_text("".join(map(addition, PROGRAMS)))
    entries = tuple(Selftest(name, limit=8) for name in PROGRAMS)
    monkeypatch.setattr(table, "table", lambda: entries)
    found = ran(patches=(added,))
    verdicts = {name: one.verdict.value for name, one in found.items()}
    assert verdicts == {
        "fails_test": "FAIL",
        "crashes_test": "FAIL",
        "skips_test": "SKIP",
        "hangs_test": "FAIL",
        "passes_test": "PASS",
    }
    assert found["fails_test"].reason == "ended with status 254"
    assert found["fails_test"].counterexample.details[:2] == ("first", "last line")
    assert found["crashes_test"].reason == "died of SIGSEGV"
    assert found["skips_test"].reason == "the selftest skips itself: not here"
    assert found["hangs_test"].counterexample.crash == "did not come back within 8 s of processor time"
    assert any(line.startswith("kernel: ") for line in found["hangs_test"].counterexample.details)
    assert found["passes_test"].reason == "1 subtests"


@pytest.mark.parametrize(
    ("planted", "name", "words"),
    [
        (LOST, "dirty_log_test.dirty-log", "ended with status 254"),
        (CRASH, "dirty_log_perf_test.get-log", "kernel BUG at"),
    ],
    ids=["lost", "crash"],
)
def test_a_fault_of_the_kernel_is_found(planted, name, words, tmp_path):
    patch = patch_for(planted, tmp_path)
    (found,) = ran(name, patches=(patch,)).values()
    assert found.verdict is Verdict.FAIL and words in found.reason
    assert found.counterexample is not None and found.counterexample.details
