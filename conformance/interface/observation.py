# SPDX-License-Identifier: GPL-2.0-only
"""The observation: everything that can be seen of a machine after a step. Both sides return it.

All parts are tuples with named fields: two observations compare as fast as plain lists, and sort alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple, Protocol, TypeVar

__all__ = [
    "Counters",
    "KeptMemory",
    "MemoryWord",
    "Observation",
    "PageEntry",
    "PagingView",
    "RetiredTable",
    "RmapView",
    "RoleView",
    "RootView",
    "ShadowPageView",
    "ShadowTlbEntry",
    "ShadowView",
    "SlotView",
    "State",
    "TableEntry",
    "TlbEntry",
    "VcpuView",
    "views",
]


_View = TypeVar("_View")


def views(kind: type[_View], rows: Iterable[tuple[Any, ...]]) -> list[_View]:
    """Named tuples of one kind, from a tuple of the fields of each; no Python call is made for each.

    The number of fields is not checked.
    """
    return [*map(_new, repeat(kind), rows)]


_new: Callable[[type[_View], tuple[Any, ...]], _View] = tuple.__new__  # type: ignore[assignment]


class State(NamedTuple):
    """Counters and statistics of the VM; those of vCPUs (``pf_*``) are summed over all vCPUs."""

    invalidate_in_progress: int = 0
    invalidate_seq: int = 0
    generation: int = 0
    """Of the memslots of address space 0."""
    flush_requests: int = 0
    flushes: int = 0
    pages_4k: int = 0
    pages_2m: int = 0
    pages_1g: int = 0
    nx_lpage_splits: int = 0
    pf_taken: int = 0
    pf_fixed: int = 0
    pf_fast: int = 0
    pf_spurious: int = 0
    pf_emulate: int = 0
    pf_mmio_spte_created: int = 0

    def since(self, before: State) -> State:
        """By how much each counter has grown."""
        return State(*(now - then for now, then in zip(self, before, strict=True)))


class VcpuView(NamedTuple):
    """A vCPU: the index of its TDP MMU root (-1: none), its pending requests, the flushes it has done.

    A vCPU in L2 keeps the root of L1.
    """

    root: int
    tlb_flush_requested: int
    other_requests: int
    """Bits: 0 free obsolete roots, 1 sync, 2 load the PGD, 3 flush the current TLB, 4 flush the guest's."""
    flushes: int
    smm: int


class TlbEntry(NamedTuple):
    """A translation that a vCPU caches; ``root`` is -1 if that root is gone."""

    root: int
    gfn: int
    level: int
    pfn: int
    rights: int
    dirty: int


class SlotView(NamedTuple):
    """A memslot; the words of its dirty bitmap are empty if it is not logged."""

    as_id: int
    id: int
    gfn: int
    npages: int
    flags: int
    dirty_bitmap: tuple[int, ...]


class TableEntry(NamedTuple):
    """One entry of a page table: its level and first gfn, the SPTE, the serial number of its table or 0.

    The SPTE of a table has no address bits. ``path`` are the first gfns of the tables from the root down to
    the one that holds the entry.
    """

    level: int
    gfn: int
    spte: int
    child: int
    path: tuple[int, ...]

    def covers(self, gfn: int) -> bool:
        """Whether the entry translates ``gfn``."""
        shift = 9 * (self.level - 1)
        return self.gfn >> shift == gfn >> shift


class RootView(NamedTuple):
    """A root of the TDP MMU, oldest first; invalid ones are listed until they are freed."""

    as_id: int
    level: int
    invalid: int
    references: int
    flat: list[int]
    """Its entries, depth first, as level, gfn, SPTE and child of each: compared as a whole."""

    def entries(self) -> Iterator[TableEntry]:
        """The entries that differ from the initial value, depth first."""
        above: list[int] = [0]
        flat = iter(self.flat)
        for level, gfn, spte, child in zip(flat, flat, flat, flat, strict=True):
            del above[self.level - level + 1 :]
            yield TableEntry(level, gfn, spte, child, tuple(above))
            if child:
                above.append(gfn)


class RetiredTable(NamedTuple):
    """A table that waits for its grace period, with how many of its entries are frozen and are present."""

    level: int
    gfn: int
    serial: int
    frozen: int
    present: int


class MemoryWord(NamedTuple):
    """A word of a host page that is not 0. Only pages that a step has written have any."""

    pfn: int
    at: int
    """The index of the word in the page."""
    value: int


class Counters(NamedTuple):
    """Counters of shadow paging: statistics of the VM, and the numbers of its shadow pages."""

    mmu_shadow_zapped: int
    mmu_pte_write: int
    mmu_pde_zapped: int
    mmu_flooded: int
    mmu_recycled: int
    mmu_cache_miss: int
    mmu_unsync: int
    n_used_mmu_pages: int
    n_max_mmu_pages: int
    indirect_shadow_pages: int


class RoleView(NamedTuple):
    """The role of a shadow page (union kvm_mmu_page_role), field by field; its layout differs by kernel.

    ``smep`` is ``smep_andnot_wp`` until v7.1, ``cr4_smep`` since v7.2. A field that a kernel lacks is 0.
    """

    level: int
    has_4_byte_gpte: int
    quadrant: int
    direct: int
    access: int
    invalid: int
    efer_nx: int
    cr0_wp: int
    smep: int
    smap_andnot_wp: int
    ad_disabled: int
    guest_mode: int
    passthrough: int
    smm: int


class ShadowTlbEntry(NamedTuple):
    """A translation of a linear or nested guest physical address that a vCPU caches.

    With shadow paging it belongs to ``pcid``, and ``root`` is 0; else ``root`` is the serial number of the
    root. ``rights`` has bit 3 set if users may use it. ``page`` is the first page number that it translates.
    """

    root: int
    pcid: int
    page: int
    level: int
    pfn: int
    rights: int
    dirty: int


class PagingView(NamedTuple):
    """A vCPU's control registers, its current MMU's roots, and what its processor has cached of them.

    In L2 the registers are L2's and the MMU is guest_mmu, which shadows L1's nested tables.

    ``root`` is the serial number of a shadow page, 0 for none or for a root that is no shadow page (PAE
    roots, the dummy root of an invisible gfn, roots of the TDP MMU); ``pae_roots`` has the shadow pages that
    the four PAE entries point to. ``prev_roots`` are (serial number, PGD) of the cached roots, most recent
    first.
    """

    cr0: int
    cr3: int
    cr4: int
    efer: int
    guest_mode: int
    root_role: RoleView
    root: int
    pgd: int
    """0 without a root."""
    prev_roots: tuple[tuple[int, int], ...]
    pae_roots: tuple[int, ...]
    pf_guest: int
    invlpg: int
    tlb: tuple[ShadowTlbEntry, ...]
    """Sorted; not those of the TDP MMU's roots."""


class PageEntry(NamedTuple):
    """An entry of a shadow page that is not empty: the SPTE, and the serial number of its table or 0.

    The SPTE of a table has no address bits. ``gfn`` and ``access`` are the shadowed translation of a present
    leaf in a page that has one, else 0. ``unsync`` says that the entry's table, or one below it, is unsync.
    """

    at: int
    """Its index in the table."""
    spte: int
    child: int
    gfn: int
    access: int
    unsync: int


class ShadowPageView(NamedTuple):
    """A shadow page: its place, its role, its state, and its entries in ascending order."""

    serial: int
    gfn: int
    role: RoleView
    unsync: int
    unsync_children: int
    root_count: int
    parents: int
    """The number of SPTEs that point to it."""
    write_flooding_count: int
    mmu_valid_gen: int
    nx_huge_page_disallowed: int
    entries: tuple[PageEntry, ...]


class RmapView(NamedTuple):
    """What KVM keeps per gfn of a memslot and level; a gfn is listed if any of these is not 0."""

    as_id: int
    level: int
    gfn: int
    sptes: int
    """The number of leaf SPTEs in the rmap."""
    disallow_lpage: int
    """0 at level 1."""
    write_track: int
    """0 above level 1."""


class ShadowView(NamedTuple):
    """The state of shadow paging."""

    counters: Counters
    vcpus: Sequence[PagingView]
    pages: Sequence[ShadowPageView]
    """In the order of active_mmu_pages, oldest first; then pages that only vCPUs' roots still refer to."""
    rmaps: Sequence[RmapView]
    """Sorted."""


class KeptMemory(Protocol):
    """What KVM keeps in its own memory, compared between two kernels. Equal if nothing differs."""

    @property
    def digest(self) -> bytes:
        """A digest of what is compared: two states of one library are equal if their digests are."""

    def facts(self, other: Any) -> list[tuple[str, str, str]]:
        """The differences: each fact's name, its value here and there."""


class Observation(NamedTuple):
    """The outcome of a step, the complaints that it caused, and the state that it left.

    A VM that is destroyed has no state, and its lists are empty. Lists may be shared with later observations:
    they must not be changed.
    """

    outcome: list[int]
    """Integers whose fields ``Kind.outcome`` names."""
    events: list[str]
    """WARNs, and lockdep's complaints, in order."""
    state: State | None = None
    vcpus: Sequence[VcpuView] = ()
    tlb: Sequence[Sequence[TlbEntry]] = ()
    """The TLB of each vCPU, sorted."""
    slots: Sequence[SlotView] = ()
    roots: Sequence[RootView] = ()
    retired: Sequence[RetiredTable] = ()
    memory: Sequence[MemoryWord] = ()
    """Sorted."""
    shadow: ShadowView | None = None
    """Without the TDP MMU; with it, from the first entry to L2 on."""
    kept: KeptMemory | None = None
    """Only where two kernels are compared."""
