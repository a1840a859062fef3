# SPDX-License-Identifier: GPL-2.0-only
"""Races of shadow paging on the kernel's own code: guest memory is shared, and rewound like the kernel's."""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest
from kvm_guests import FULL, A, D, P, U, W
from kvm_races import Step, race, ready, schedules

from conformance.interface.access import READ, WRITE, End
from conformance.interface.outcomes import ExecuteOutcome
from conformance.oracles.kvm.racing import RaceOutcome, RacingKvm

pytestmark = pytest.mark.kernel

BASE, ROOT, TABLE = 0x40000000, 16, 19
PRESENT = P | W | U | A


def execute(vcpu: int, address: int, kind: int = READ, value: int = 0) -> Step:
    return (
        "execute",
        {"vcpu": vcpu, "address": address, "kind": kind, "privilege": 0, "value": value, "instruction": 0},
    )


def store(gfn: int, index: int, value: int) -> Step:
    return ("store", {"gfn": gfn, "index": index, "value": value})


def set_cr3(vcpu: int) -> Step:
    return ("set_cr3", {"vcpu": vcpu, "value": ROOT << 12})


UNSYNC: dict[str, Any] = {
    "setup": [
        ("mmap", {"page": 0, "npages": 64, "writable": 1, "level": 1}),
        ("set_memory_region", {"slot": 0, "as_id": 0, "gfn": 0, "npages": 64, "page": 0, "flags": 0}),
        store(5, 1, 55),
        store(6, 1, 66),
        store(ROOT, 0, 17 << 12 | PRESENT),
        store(17, 1, 18 << 12 | PRESENT),
        store(18, 0, TABLE << 12 | PRESENT),
        store(TABLE, 0, 5 << 12 | FULL | D),
        store(TABLE, 1, TABLE << 12 | FULL | D),
        set_cr3(0),
        set_cr3(1),
        execute(0, BASE),
        execute(1, BASE),
    ],
    "threads": {
        "vcpu0": [
            execute(0, BASE + 0x1000, WRITE, 6 << 12 | FULL | D),
            ("invlpg", {"vcpu": 0, "address": BASE}),
            execute(0, BASE),
        ],
        "vcpu1": [set_cr3(1), execute(1, BASE)],
    },
    "closing": [],
}
"""A table goes unsync and is synchronised by its writer while another vCPU loads the root that maps it."""


EPTP = ROOT << 12 | 0x1E
EPT_LEAF = 7 | 6 << 3


def enter_l2() -> Step:
    return ("enter_l2", {"vcpu": 0, "address": EPTP, "ad": 0, "exec_only": 1})


UNSYNC_NESTED: dict[str, Any] = {
    "setup": [
        ("mmap", {"page": 0, "npages": 64, "writable": 1, "level": 1}),
        ("set_memory_region", {"slot": 0, "as_id": 0, "gfn": 0, "npages": 64, "page": 0, "flags": 0}),
        *(store(gfn, 1, 11 * gfn) for gfn in (5, 6)),
        store(ROOT, 0, 17 << 12 | 7),
        store(17, 0, 18 << 12 | 7),
        *(store(18, index, TABLE + index << 12 | 7) for index in (0, 1)),
        *(store(TABLE + index, 5, 5 << 12 | EPT_LEAF) for index in (0, 1)),
        enter_l2(),
        execute(0, 5 << 12),
        execute(0, 1 << 21 | 5 << 12),
        ("leave_l2", {"vcpu": 0}),
        *(execute(vcpu, 7 << 12) for vcpu in (0, 1)),
    ],
    "threads": {
        f"vcpu{index}": [execute(index, TABLE + index << 12 | 5 << 3, WRITE, 6 << 12 | EPT_LEAF)]
        for index in (0, 1)
    },
    "closing": [
        ("invept", {"vcpu": 0}),
        enter_l2(),
        execute(0, 5 << 12 | 8),
        execute(0, 1 << 21 | 5 << 12 | 8),
    ],
}
"""Two vCPUs of L1 each write to a table of its nested tables, which both go unsync below the same parent.

Of commit ce25681d59ff ("KVM: x86/mmu: Protect marking SPs unsync when using TDP MMU with spinlock") in v5.14.
"""


def last_of(outcome: RaceOutcome, thread: str) -> ExecuteOutcome:
    """The instruction that is a thread's last step."""
    *_, text = (event[2] for event in outcome.events if event[:2] == ("step", thread))
    return ExecuteOutcome.read(literal_eval(text.partition(": ")[2]))


def test_after_invlpg_no_old_translation_is_used(racing_library: Path) -> None:
    def ends(racing: RacingKvm) -> set[tuple[End, bool]]:
        seen = set()
        for outcome in schedules(racing, 150):
            assert outcome.complaints == ()
            done = last_of(outcome, "vcpu0")
            content = {(word.pfn, word.at): word.value for word in outcome.observation.memory}
            # The second word of the new page.
            seen.add((done.end, content[done.words[1], 1] == 66))
        return seen

    assert race(racing_library, UNSYNC, ends, "shadow") == {(End.DONE, True)}


def test_guest_memory_is_shared_and_rewound(racing_library: Path) -> None:
    def look(racing: RacingKvm) -> tuple[set[str], bool, bool]:
        names: set[str] = set()
        list(schedules(racing, 20))
        racing.begin()
        first = racing.digest()
        while able := ready(racing):
            names.update(racing.name(t).partition(" word ")[0] for t in able if " word " in racing.name(t))
            racing.advance(able[-1])
        racing.finish()
        changed = racing.digest()
        racing.begin()
        return names, changed != first, racing.digest() == first

    names, changed, restored = race(racing_library, UNSYNC, look, "shadow")
    assert changed and restored
    # The processor, the walker of the guest's tables, and the reading of a table that is synchronised.
    functions = {name.split()[0] for name in names}
    assert "guest_execute" in functions
    assert any("walk_addr" in name for name in functions)
    assert len(functions) >= 3


def test_two_tables_below_one_parent_go_unsync(racing_library: Path) -> None:
    def ends(racing: RacingKvm) -> set[tuple[int, ...]]:
        seen = set()
        for outcome in schedules(racing, 150):
            assert outcome.complaints == ()
            texts = [event[2] for event in outcome.events if event[:2] == ("step", "closing")]
            done = [ExecuteOutcome.read(literal_eval(text.partition(": ")[2])) for text in texts[2:]]
            seen.add(tuple(one.words[2] for one in done))
        return seen

    assert race(racing_library, UNSYNC_NESTED, ends) == {(66, 66)}
