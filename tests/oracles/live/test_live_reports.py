# SPDX-License-Identifier: GPL-2.0-only
"""What a machine says: deaths and WARNs on its console, and the outcomes of steps."""

from __future__ import annotations

import pytest

from conformance.interface.access import MMIO_EXIT, End, Exit
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.deaths import SHOWN, died, warnings
from conformance.oracles.live.outcomes import access_outcome, read_answer, read_faults
from conformance.oracles.live.settings import Setting

OLD = """\
[    9.100000] kvm: Nested Paging enabled
[    9.200000] ------------[ cut here ]------------
[    9.200001] WARNING: CPU: 0 PID: 1 at arch/x86/kvm/mmu/tdp_mmu.c:511 __handle_changed_spte+0x5a/0x6c0 [kvm]
[    9.200002] Modules linked in: kvm_amd ccp kvm irqbypass
"""
NEW = """\
[    9.200000][    T1] ------------[ cut here ]------------
[    9.200001][    T1] WARNING: arch/x86/kvm/mmu/mmu.c:3311 at kvm_mmu_max_mapping_level.part.0+0x1f0/0x210 \
[kvm], CPU#0: init/1
"""
CRASH = """\
[    9.300000] BUG: kernel NULL pointer dereference, address: 0000000000000008\r
[    9.300001] #PF: supervisor read access in kernel mode\r
[    9.300002] RIP: 0010:kvm_tdp_mmu_map+0x30/0x500 [kvm]\r
[    9.300003] Kernel panic - not syncing: Fatal exception\r
"""


def test_warnings_of_both_forms():
    assert warnings(OLD) == ["WARN __handle_changed_spte"]
    assert warnings(NEW) == ["WARN kvm_mmu_max_mapping_level"]
    assert warnings(OLD + NEW) == [*warnings(OLD), *warnings(NEW)]
    assert warnings("[    1.0] kvm: no warning\n") == []


def test_a_crash_has_its_console():
    found = died("booting\n" * 100 + OLD + CRASH)
    assert found.how == "crashed: BUG: kernel NULL pointer dereference, address: 0000000000000008"
    assert not found.hung and len(found.console) <= SHOWN
    assert found.console[2] == "BUG: kernel NULL pointer dereference, address: 0000000000000008"
    assert "RIP: 0010:kvm_tdp_mmu_map+0x30/0x500 [kvm]" in found.console


def test_a_crash_is_more_than_a_silence():
    assert died(CRASH, "within 60 s").how.startswith("crashed: BUG")


def test_a_silence_is_a_hang():
    found = died(OLD, "within 60 s of processor time")
    assert found.how == "did not come back within 60 s of processor time" and found.hung
    assert found.console[0] == "kvm: Nested Paging enabled"


def test_an_end_without_a_word():
    found = died("\n".join(map(str, range(100))))
    assert found.how == "ended the machine" and not found.hung
    assert len(found.console) == SHOWN and found.console[-1] == "99"


def test_a_console_is_shown_without_control_characters():
    assert "\x1b" not in "".join(died("\x1b[31mred\x00\n" + CRASH).console)


OLD_NAMES = {0: "RETRY", 1: "EMULATE", 2: "INVALID", 3: "FIXED", 4: "SPURIOUS"}
STORY = "fault: (kvm_mmu_page_fault+0x0/0x980 [kvm]) address=0x5000 error_code=0x6"
CACHED = "fault: (kvm_mmu_page_fault+0x0/0x980 [kvm]) address=0xfec00000 error_code=0xd"
OWN = "fault: (kvm_mmu_page_fault+0x0/0x980 [kvm]) address=0x8000004000 error_code=0x6"


def handled(result: int) -> str:
    return f"handled: (svm_vcpu_run+0x0/0x10 <- kvm_tdp_page_fault) ret={result}"


def outcome_of(end: str, *trace: str) -> list[int]:
    answer = read_answer([*(f"trace {line}" for line in trace), end])
    return access_outcome(answer, read_faults(answer.trace, OLD_NAMES, Setting().is_own_page))


def test_the_faults_of_a_story():
    assert outcome_of("done", STORY, handled(3)) == [Exit.FIXED, End.DONE]
    assert outcome_of("done", STORY, handled(0), STORY, handled(3)) == [Exit.RETRY, Exit.FIXED, End.DONE]
    assert outcome_of("done") == outcome_of("done", STORY) == [End.DONE]


def test_mmio():
    assert outcome_of("done", STORY, handled(1)) == [Exit.EMULATE, End.EMULATED]
    cached = MMIO_EXIT + int(Exit.EMULATE)
    assert outcome_of("done", CACHED) == [cached, End.EMULATED]
    stale = [MMIO_EXIT + int(Exit.INVALID), Exit.EMULATE, End.EMULATED]
    assert outcome_of("done", CACHED, handled(2), STORY, handled(1)) == stale


def test_ends_that_are_no_success():
    assert outcome_of("failed 14", STORY, handled(-14)) == [-14, End.FAILED]
    assert outcome_of("exit 17 1", STORY, handled(3)) == [Exit.FIXED, 17, End.USERSPACE]
    assert outcome_of("stuck", STORY, handled(0)) == [Exit.RETRY, End.GAVE_UP]


def test_faults_of_the_guests_own_memory_are_counted_apart():
    faults = read_faults(
        [OWN, handled(3), STORY, handled(3), OWN, handled(0)], OLD_NAMES, Setting().is_own_page
    )
    assert (faults.codes, faults.own, faults.own_fixed) == ([int(Exit.FIXED)], 2, 1)


def test_what_is_not_understood_is_no_finding():
    with pytest.raises(Lacking, match="RET_PF_9"):
        read_faults([STORY, handled(9)], OLD_NAMES, Setting().is_own_page)
    with pytest.raises(Lacking, match="how an access ended"):
        access_outcome(read_answer(["code 0"]), read_faults([], OLD_NAMES, Setting().is_own_page))
    with pytest.raises(Lacking, match="although a signal was pending"):
        read_answer(["done"]).entered()


def test_entries_and_words():
    assert read_answer(["failed 4"]).entered() == 0
    assert read_answer(["failed 12"]).entered() == -12
    assert read_answer(["code 0", "word 0 5", "word 3 255"]).words() == {0: 5, 3: 255}
