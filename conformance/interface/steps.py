# SPDX-License-Identifier: GPL-2.0-only
"""The table of steps: everything that can be done to a machine, with arguments and outcome.

The model registers a function for each row, the kvm oracle's C is dispatched by a header that is generated
from the rows, and scenario files, their help and lockstep read the rows too. Addresses are page numbers,
lengths are numbers of 4 KiB pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from conformance.interface.access import FETCH, READ, WRITE, Instruction, Privilege
from conformance.interface.arguments import Argument
from conformance.interface.outcomes import (
    AccessOutcome,
    Code,
    DirtyLog,
    ExecuteOutcome,
    Leaks,
    Nothing,
    Outcome,
    Position,
    Unmapping,
)

__all__ = ["FAULTS", "KINDS", "LOG", "PAGES", "READONLY", "Kind"]

PAGES = 1 << 24
"""How many virtual pages the host process has."""
GFNS = 1 << 36
"""How many gfns 48 address bits reach."""
LOG, READONLY = 1, 2
"""Flags of a memslot: KVM_MEM_LOG_DIRTY_PAGES and KVM_MEM_READONLY."""


@dataclass(frozen=True)
class Kind:
    """A kind of step: its name, a line on what it does, its arguments and the type of its outcome.

    ``weight`` says how often lockstep draws it, as a part of the sum of all weights.
    """

    name: str
    meaning: str
    takes: tuple[Argument, ...] = ()
    outcome: type[Outcome] = Code
    weight: int = 1

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of its arguments, in order."""
        return tuple(argument.name for argument in self.takes)


_VCPU = Argument("vcpu", 0, 7, 0)
_PAGE = Argument("page", 0, PAGES - 1)
_TO = Argument("to", 0, PAGES - 1)
_NPAGES = Argument("npages", 1, PAGES, 1)
_GFN = Argument("gfn", 0, GFNS - 1)
_SLOT = Argument("slot", 0, 31, 0)
_AS_ID = Argument("as_id", 0, 1, 0)
_ON = Argument("on", 0, 1)
_WRITE = Argument("write", 0, 1, 0)
_WRITABLE = Argument("writable", 0, 1, 1)
_ACCESS = Argument("kind", READ, FETCH, words={"read": READ, "write": WRITE, "fetch": FETCH})
_LEVEL = Argument("level", 1, 3, 1, {"4K": 1, "2M": 2, "1G": 3})
_FLAGS = Argument(
    "flags", 0, 3, 0, {"none": 0, "log": LOG, "readonly": READONLY, "log+readonly": LOG | READONLY}
)
_SIZE = Argument("npages", 0, PAGES)
_FIRST = Argument("first", 0, PAGES - 64, 0)
_BITS = Argument("npages", 1, 64, 64)
_MASK = Argument("mask", 0, (1 << 64) - 1)
_VALUE = Argument("value", 0, (1 << 62) - 1)
_WORD = Argument("value", 0, (1 << 64) - 1)
_WRITTEN = Argument("value", 0, (1 << 64) - 1, 0)
_INDEX = Argument("index", 0, 511, 0)
_ADDRESS = Argument("address", 0, (1 << 64) - 1)
_PRIVILEGE = Argument(
    "privilege", 0, 2, 0, {one.name.lower().replace("_", "+"): int(one) for one in Privilege}
)
_INSTRUCTION = Argument("instruction", 0, 1, 0, {one.name.lower(): int(one) for one in Instruction})
_REGISTER = Argument("value", 0, (1 << 64) - 1)
_CR0, _CR4, _EFER, _CR3 = (Argument(name, 0, (1 << 64) - 1) for name in ("cr0", "cr4", "efer", "cr3"))
_INVPCID = Argument("type", 0, 3, words={"address": 0, "context": 1, "all+global": 2, "all": 3})
_AD = Argument("ad", 0, 1, 1)
_EXEC_ONLY = Argument("exec_only", 0, 1, 1)
_NR_PAGES = Argument("n", 0, 1 << 32)

_TABLE = (
    # The host process and its kernel.
    Kind(
        "mmap",
        "the host maps an area, unpopulated: 4K anonymous, 2M with transparent huge pages, 1G hugetlb",
        (_PAGE, _NPAGES, _WRITABLE, _LEVEL),
    ),
    Kind("touch", "the host process reads or writes a page", (_PAGE, _WRITE), weight=4),
    Kind("madvise_dontneed", "the host discards pages, splitting huge ones", (_PAGE, _NPAGES), weight=3),
    Kind("wrprotect", "the host makes pages read-only, as fork() does", (_PAGE, _NPAGES), weight=2),
    Kind("ksm_merge", "the host replaces a 4K page by a shared, read-only copy, as KSM does", (_PAGE,)),
    Kind(
        "mremap", "the host moves a 4K page to another address, as mremap() does", (_PAGE, _TO), weight=0
    ),
    Kind(
        "collapse", "the host collapses the 2M range around a page into a huge page, as khugepaged does",
        (_PAGE,), weight=2,
    ),
    Kind(
        "take_marks",
        "the host clears KVM's marks on a page that it maps: 1 if it was marked dirty, plus 2 if accessed",
        (_PAGE,), weight=0,
    ),
    Kind("notifier_start", "an MMU notifier invalidation of a range begins", (_PAGE, _NPAGES)),
    Kind("notifier_end", "the invalidation that began for this range ends", (_PAGE, _NPAGES), weight=3),
    Kind("change_pte", ".change_pte() of a present page, wrapped in an invalidation", (_PAGE,)),
    Kind("clear_flush_young", "the host ages pages: .clear_flush_young()", (_PAGE, _NPAGES), weight=2),
    Kind("clear_young", "the host ages pages without a flush: .clear_young()", (_PAGE, _NPAGES)),
    Kind("test_young", "the host asks whether a page was used: .test_young()", (_PAGE,)),
    # KVM's ioctls and module parameters.
    Kind(
        "set_memory_region",
        "KVM_SET_USER_MEMORY_REGION: create, move or change a memslot; npages=0 deletes it",
        (_SLOT, _AS_ID, _GFN, _SIZE, _PAGE, _FLAGS), weight=5,
    ),
    Kind("get_dirty_log", "KVM_GET_DIRTY_LOG", (_SLOT, _AS_ID), DirtyLog, weight=3),
    Kind(
        "clear_dirty_log",
        "KVM_CLEAR_DIRTY_LOG of the pages in the mask, of up to 64 pages from a multiple of 64 on",
        (_SLOT, _AS_ID, _FIRST, _BITS, _MASK), weight=3,
    ),
    Kind("set_nx_huge_pages", "the module parameter nx_huge_pages is written", (_ON,)),
    Kind("recover_nx_huge_pages", "one run of the worker that recovers huge pages split for execution"),
    Kind("set_generation", "the generation of the memslots is set to this value", (_VALUE,)),
    Kind("set_nr_mmu_pages", "KVM_SET_NR_MMU_PAGES: the limit of shadow pages", (_NR_PAGES,), weight=0),
    Kind(
        "set_sregs",
        "KVM_SET_SREGS: userspace sets the control registers of a vCPU; EFER.LMA by CR0.PG and EFER.LME",
        (_VCPU, _CR0, _CR4, _EFER, _CR3), weight=0,
    ),
    Kind("store", "userspace writes a word of guest memory", (_GFN, _INDEX, _WORD), weight=0),
    # The guest.
    Kind("enter", "KVM prepares entering the guest: requests, the root, TLB flushes", (_VCPU,), weight=2),
    Kind(
        "access", "one guest instruction reads, writes or fetches a gfn",
        (_VCPU, _GFN, _ACCESS), AccessOutcome, weight=30,
    ),
    Kind(
        "execute",
        "one guest instruction reads, writes or is fetched at an address: a linear one with shadow paging, "
        "a guest physical one with two-dimensional paging",
        (_VCPU, _ADDRESS, _ACCESS, _PRIVILEGE, _WRITTEN, _INSTRUCTION), ExecuteOutcome, weight=0,
    ),
    Kind("set_cr0", "the guest writes CR0; 1 for #GP", (_VCPU, _REGISTER), weight=0),
    Kind("set_cr3", "the guest writes CR3; bit 63 set: no flush; 1 for #GP", (_VCPU, _REGISTER), weight=0),
    Kind("set_cr4", "the guest writes CR4; 1 for #GP", (_VCPU, _REGISTER), weight=0),
    Kind("set_efer", "the guest writes EFER; 1 for #GP", (_VCPU, _REGISTER), weight=0),
    Kind(
        "invlpg", "the guest is entered, and executes INVLPG if it can fetch it", (_VCPU, _ADDRESS), Nothing,
        weight=0,
    ),
    Kind(
        "invpcid",
        "the guest is entered, and executes INVPCID if it can fetch it; its descriptor is at a linear "
        "address; as kvm_handle_invpcid() returns",
        (_VCPU, _INVPCID, _ADDRESS), weight=0,
    ),
    Kind(
        "enter_l2",
        "L1 enters L2, in protected mode without paging, with these nested tables: its EPTP with A/D bits "
        "and execute-only, if the host has them, or its nested CR3",
        (_VCPU, _ADDRESS, _AD, _EXEC_ONLY), Nothing, weight=0,
    ),
    Kind("leave_l2", "an exit from L2 to L1, whose registers are as before", (_VCPU,), Nothing, weight=0),
    Kind("invept", "L1 executes INVEPT of all contexts", (_VCPU,), Nothing, weight=0),
    Kind("smm", "a vCPU enters or leaves SMM: address space 1 or 0", (_VCPU, _ON), Nothing),
    # Concurrent activity inside KVM.
    Kind(
        "walk_begin", "a lockless reader begins to walk towards a gfn, inside RCU", (_VCPU, _GFN), Position,
        weight=2,
    ),
    Kind(
        "walk_next", "the reader advances by tdp_iter_next(): down, else sideways, else up", (), Position,
        weight=5,
    ),
    Kind("walk_end", "the reader leaves RCU", (), Nothing, weight=2),
    Kind("grace_period", "RCU callbacks run, unless a reader is inside", weight=2),
    Kind("resched", "need_resched() returns true (or false) from now on, so that long walks yield", (_ON,)),
    Kind(
        "delete_while_unmapping",
        "a memslot is deleted; when KVM first yields while it zaps roots, the host discards pages",
        (_SLOT, _AS_ID, _PAGE, _NPAGES), Unmapping,
    ),
    Kind("destroy", "vCPUs and VM are destroyed; all their memory must be freed", (), Leaks, weight=0),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}
"""Every kind of step by name."""

FAULTS = Kind(
    "faults",
    "for the bench, on the kernel only: n page faults by writes to pages that are unmapped after each round",
    (_VCPU, _GFN, _NPAGES, Argument("n", 0, 1 << 32)),
    weight=0,
)
