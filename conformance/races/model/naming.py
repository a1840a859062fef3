# SPDX-License-Identifier: GPL-2.0-only
"""Names of accesses for reports: the function, what it does, and the place.

The function is the innermost one with a kernel function's name; helpers and private functions are skipped.
"""

from __future__ import annotations

from types import FrameType

from conformance.interface.memory_access import Access
from conformance.model.vm.mmu_pages import TableMemory, UseAfterFree
from conformance.model.vm.places import (
    BITMAPS,
    EVENTS,
    HOST_PTES,
    LOCKS,
    MEMORY,
    SPTES,
    TABLES,
    TRACKED,
    VCPUS,
    WORDS,
    parts_of,
)
from conformance.model.vm.shadow_page import ShadowPage

__all__ = ["name_of_function", "name_of_place", "name_of_point", "spte_at"]

VERBS = {
    Access.READ: "reads",
    Access.WRITE: "writes",
    Access.RMW: "exchanges",
    Access.LOCK: "takes",
    Access.LOCK_SHARED: "takes for read",
    Access.UNLOCK: "gives back",
    Access.WAIT: "waits for",
    Access.MARK: "marks",
}
LEVELS = {1: "4K", 2: "2M", 3: "1G", 4: "512G"}
EXACT = {"cmpxchg": "compares and exchanges", "fetch_and": "clears bits of"}
HELPERS = {
    f"conformance.{name}"
    for name in (
        "model.machine.steps",
        "model.tdp_mmu.tdp_iter",
        "model.vm.frames",
        "model.vm.kvm_vcpu",
        "model.vm.locks",
        "model.vm.memslots",
        "model.vm.mmu_pages",
        "model.vm.cells",
        "model.vm.scheduler",
        "model.vm.shadow_state",
        "model.vm.vm",
        "races.model.scheduler",
        "races.model.threads",
    )
}


KERNEL_NAMES = {"write_entry": "kvm_tdp_mmu_write_spte", "clear_entry_bits": "tdp_mmu_clear_spte_bits"}
"""What the kernel calls functions that have another name here, since ``model.spte`` has these."""


def name_of_point(memory: TableMemory, frame: FrameType | None, pending: tuple[int, int]) -> str:
    """For example ``fast_page_fault reads spte 4K gfn=0x10``."""
    kind, where = pending
    if where == EVENTS:
        what = "the guest's access" if kind == Access.MARK else "an event"
        return f"{name_of_function(frame)} marks {what}"
    return f"{name_of_function(frame)} {_verb(frame, kind)} {name_of_place(memory, where)}"


def _verb(frame: FrameType | None, kind: int) -> str:
    while frame is not None and frame.f_globals.get("__name__") in HELPERS:
        if frame.f_code.co_name in EXACT:
            return EXACT[frame.f_code.co_name]
        frame = frame.f_back
    return VERBS[kind]


def name_of_function(frame: FrameType | None) -> str:
    """The innermost function on the thread's stack that has the name of a function of the kernel's."""
    while frame is not None:
        code = frame.f_code
        private = code.co_name.startswith("_") and not code.co_name.startswith("__")
        if frame.f_globals.get("__name__") not in HELPERS and not private and code.co_name[0] != "<":
            return KERNEL_NAMES.get(code.co_name, code.co_name)
        frame = frame.f_back
    return "unknown function"


def name_of_place(memory: TableMemory, where: int) -> str:
    """The name of a place."""
    kind, number, word = parts_of(where)
    if kind == SPTES:
        table = memory.by_serial.get(number)
        if table is None:
            return f"spte {word} of table {number}"
        return f"spte {LEVELS[table.level]} gfn={table.gfn_at(word):#x}"
    if kind == TABLES:
        sp = isinstance(memory.by_serial.get(number), ShadowPage)
        return f"{WORDS[word]} of {'sp' if sp else 'root'} {number}"
    if kind == VCPUS:
        return f"vcpu{number}'s {WORDS[word]}"
    if kind == HOST_PTES:
        return f"host ptes from page {number << 9:#x}"
    if kind == TRACKED:
        return f"gfn_write_track of gfn {number:#x}"
    if kind == MEMORY:
        return f"word {word} of frame {number:#x}"
    if kind == BITMAPS:
        return f"dirty bitmap of slot {number & 0xFFFF}, word {word}"
    return WORDS[word] if kind == LOCKS else f"kvm's {WORDS[word]}"


def spte_at(memory: TableMemory, where: int) -> tuple[int, int, int] | None:
    """Level, first gfn and value of the SPTE there, if it is one."""
    kind, number, word = parts_of(where)
    table = memory.by_serial.get(number)
    if kind != SPTES or table is None:
        return None
    try:
        return table.level, table.gfn_at(word), table.entries.get(word, table.initial)
    except UseAfterFree:
        return None
