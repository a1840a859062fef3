# SPDX-License-Identifier: GPL-2.0-only
"""Instructions of a guest whose tables the story builds: how their ends and their exits are read."""

from __future__ import annotations

import pytest

from conformance.interface.access import MMIO_EXIT, End, Exit
from conformance.interface.outcomes import ExecuteOutcome
from conformance.model.modes import VM_MODES
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.executing import execute_outcome
from conformance.oracles.live.outcomes import Faults, read_answer, read_faults
from conformance.oracles.live.settings import setting_of

NAMES = {
    0: "RETRY",
    1: "CONTINUE",
    2: "EMULATE",
    3: "WRITE_PROTECTED",
    4: "INVALID",
    5: "FIXED",
    6: "SPURIOUS",
}
SETTING = setting_of(VM_MODES["shadow"].host())
EMULATED = "kvm_emulate_insn: 0:fffff800e0005410:48 89 0b (prot64)"
FLUSHED = "flushed: (kvm_flush_remote_tlbs+0x0/0x60 [kvm])"


def fault(error_code: int, address: int = 0x400000) -> str:
    return f"fault: (kvm_mmu_page_fault+0x0/0x980 [kvm]) address={address:#x} error_code={error_code:#x}"


def handled(result: int) -> str:
    return f"handled: (kvm_mmu_page_fault+0x4e4/0x980 [kvm] <- paging64_page_fault) ret={result}"


def faults(*trace: str) -> Faults:
    return read_faults(trace, NAMES, SETTING.is_own_page)


def outcome(end: str, *trace: str) -> ExecuteOutcome:
    answer = read_answer([*(f"trace {line}" for line in trace), end])
    return ExecuteOutcome.read(execute_outcome(answer, faults(*trace)))


@pytest.mark.parametrize(
    ("end", "trace", "exits", "how", "words"),
    [
        ("done 0 0 7", (fault(0), handled(5)), ((0, Exit.FIXED),), End.DONE, (0, 0, 7)),
        ("exception 14 4 4194304", (fault(4), handled(0)),
         ((4, Exit.RETRY),), End.EXCEPTION, (14, 4, 0x400000)),
        ("done 0 0 7", (fault(3), handled(3), EMULATED), ((3, Exit.EMULATE),), End.EMULATED, (0, 0, 7)),
        ("done 0 0 7", (fault(3), handled(3), fault(3), handled(5)),
         ((3, Exit.RETRY), (3, Exit.FIXED)), End.DONE, (0, 0, 7)),
        ("done 0 0 7", (fault(3), handled(2), EMULATED, fault(3), handled(5)),
         ((3, Exit.UNPROTECTED), (3, Exit.FIXED)), End.DONE, (0, 0, 7)),
        # QEMU leaves out that the entry is present.
        ("exit 6 4273995776 1", (fault(0xA), EMULATED),
         ((0xB, Exit.EMULATE + MMIO_EXIT),), End.USERSPACE, (6, 0xFEC00000, 1)),
        ("failed 14 0 0", (fault(0), handled(-14)), ((0, -14),), End.FAILED, (-14, 0, 0)),
        ("failed 22 0 0", (), (), End.FAILED, (-22, 0, 0)),
    ],
)  # fmt: skip
def test_ends(end, trace, exits, how, words):
    found = outcome(end, *trace)
    assert (found.exits, found.end, found.words) == (exits, how, words)


def test_no_end():
    with pytest.raises(Lacking, match="how an instruction ended"):
        outcome("code 0")


@pytest.mark.parametrize("stub", [0xE0005400, 0xFFFFF800E0005400, 0xFFF00000E0005400])
def test_faults_of_the_guests_own_code_are_counted_apart(stub):
    own = (fault(0x10, stub), FLUSHED, handled(5), fault(0x10, stub), handled(6))
    found = faults(*own, fault(2), FLUSHED, handled(5))
    assert (found.own, found.own_fixed, found.own_spurious, found.own_flushes) == (2, 1, 1, 1)
    assert (found.codes, found.error_codes) == ([Exit.FIXED], [2])


def test_the_entry_that_leads_to_the_guests_own_code_is_not_shown():
    for word in (0xE0001067, 0xE0000067, 0xE0002001):
        assert SETTING.without_own(word) == 0
    assert SETTING.without_own(0x0020106700000000 | 0xE0004067) == 0x0020106700000000
    for word in (0x201067, 0xDA7A0010, 0xE0008067, 1 << 63 | 0x10067):
        assert SETTING.without_own(word) == word
