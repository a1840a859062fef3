# SPDX-License-Identifier: GPL-2.0-only
"""The table of steps: everything that can be done to a machine, with arguments and outcome.

The model registers a function for each row, the kvm oracle's C is dispatched by a header that is generated
from the rows, and scenario files, their help and lockstep read the rows too. Addresses are page numbers,
lengths are numbers of 4 KiB pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from conformance.interface.access import FETCH, READ, WRITE
from conformance.interface.arguments import Argument
from conformance.interface.outcomes import (
    AccessOutcome,
    Code,
    DirtyLog,
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
        "collapse", "the host collapses the 2M range around a page into a huge page, as khugepaged does",
        (_PAGE,), weight=2,
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
    # The guest.
    Kind("enter", "KVM prepares entering the guest: requests, the root, TLB flushes", (_VCPU,), weight=2),
    Kind(
        "access", "one guest instruction reads, writes or fetches a gfn",
        (_VCPU, _GFN, _ACCESS), AccessOutcome, weight=30,
    ),
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
