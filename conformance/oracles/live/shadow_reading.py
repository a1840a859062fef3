# SPDX-License-Identifier: GPL-2.0-only
"""Reads the state of shadow paging from the kernel's memory: counters, vCPUs, shadow pages, rmaps.

The guest's own memory (its code and its tables) is left out, and what it counts for is subtracted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from conformance.interface.live import CR0_ET
from conformance.interface.observation import (
    Counters,
    PageEntry,
    PagingView,
    RmapView,
    RoleView,
    ShadowPageView,
    ShadowView,
)
from conformance.oracles.live.frames import Leaf
from conformance.oracles.live.memory import ADDRESS, Memory
from conformance.oracles.live.page_events import PageEvents
from conformance.oracles.live.reading import Tables, VmReader

__all__ = ["ShadowReader"]

_PRESENT, _HUGE = 1 << 11, 1 << 7
_NO_PAGE = (1 << 64) - 1
_PAGE_SHIFT = 12
_ENTRIES = 512
_ACCESS = (1 << _PAGE_SHIFT) - 1
"""The access of a shadowed translation, below its gfn; how many bits it has differs between kernels."""
_PAE_ROOTS, _PREV_ROOTS = 4, 3
_PAGES = 0xFFFFEA0000000000
"""Where the kernel has struct page of each frame; see Documentation/arch/x86/x86_64/mm.rst."""
_MOST_DESCRIPTORS = 1 << 16
_STAT = ("mmu_shadow_zapped", "mmu_pte_write", "mmu_pde_zapped", "mmu_flooded", "mmu_recycled",
         "mmu_cache_miss", "mmu_unsync")  # fmt: skip
_ROLE = {"smep": ("smep_andnot_wp", "cr4_smep")}
"""Fields of the role whose name differs from that in RoleView, or between kernels."""


@dataclass(frozen=True)
class _Page:
    """A shadow page: where its struct is, its gfn and role, and the physical address of its table."""

    at: int
    gfn: int
    role: RoleView
    place: int


@dataclass
class ShadowReader:
    """Reads the shadow pages of a VM. ``own`` says whether a gfn is of the guest's own memory.

    Left out are what processors cache, n_max_mmu_pages (0), as it depends on the size of all memslots, and
    unless ``registers`` are those of the story, the control registers of vCPUs.
    """

    vm: VmReader
    own: Callable[[int], bool]
    registers: bool
    leaves: list[Leaf] = field(default_factory=list, init=False)
    """Of the story, after each reading."""
    own_leaves: int = field(default=0, init=False)
    _tables: Tables = field(default_factory=Tables, init=False)
    _kinds: dict[int, tuple[int, int]] = field(default_factory=dict, init=False)
    """gfn and level of the page at each physical address."""
    _own_made: int = field(default=0, init=False)
    _own_zapped: int = field(default=0, init=False)

    @property
    def memory(self) -> Memory:
        """The kernel's memory."""
        return self.vm.memory

    def view(self, events: PageEvents) -> ShadowView:
        """The state now; ``events`` are those since the last time."""
        self._own_made += events.own_made
        self._own_zapped += events.own_zapped
        active = [self._page(at) for at in self._active()]
        pages = [*active, *self._zapped_roots()]
        shown = [page for page in pages if not self.own(page.gfn)]
        self._number(shown, events)
        own_gfns = {page.place for page in pages if self.own(page.gfn)}
        self.leaves.clear()
        self.own_leaves = 0
        views = [self._shown(page, own_gfns) for page in shown]
        for page in pages:
            if self.own(page.gfn):
                self.own_leaves += sum(1 for _ in self._own_leaves(page))
        mine = [page for page in active if self.own(page.gfn)]
        return ShadowView(
            self._counters(mine), [self._paging(vcpu) for vcpu in self.vm.vcpus], views, self._rmaps()
        )

    # Shadow pages

    def _active(self) -> list[int]:
        """The pages that are in use, oldest first."""
        head = self.memory.place(self.vm.kvm, "kvm", "arch.active_mmu_pages")
        return [*self.memory.listed(head, "kvm_mmu_page", "link")][::-1]

    def _page(self, at: int) -> _Page:
        memory = self.memory
        place = memory.get(at, "kvm_mmu_page", "spt") - memory.page_offset
        return _Page(at, memory.get(at, "kvm_mmu_page", "gfn"), self._role(at, "kvm_mmu_page", "role"), place)

    def _role(self, at: int, structure: str, path: str) -> RoleView:
        values = []
        for name in RoleView._fields:
            names = [f"{path}.{one}" for one in _ROLE.get(name, (name,))]
            found = next((one for one in names if self.memory.member(structure, one)), None)
            values.append(self.memory.get(at, structure, found) if found else 0)
        return RoleView._make(values)

    def _number(self, pages: list[_Page], events: PageEvents) -> None:
        """Give each table its serial number; one that was zapped and made again is another one."""
        self._tables.forget(place for place, kind in self._kinds.items() if kind in events.remade)
        self._kinds = {page.place: (page.gfn, page.role.level) for page in pages}
        self._serials = self._tables.serials([*self._kinds])

    def _shown(self, page: _Page, own_tables: set[int]) -> ShadowPageView:
        memory = self.memory

        def value(name: str, *others: str) -> int:
            names = (name, *others)
            found = next((one for one in names if memory.member("kvm_mmu_page", one)), name)
            return memory.get(page.at, "kvm_mmu_page", found)

        return ShadowPageView(
            self._serials[page.place],
            page.gfn,
            page.role,
            value("unsync"),
            value("unsync_children"),
            value("root_count"),
            self._count(value("parent_ptes.val")),
            value("write_flooding_count.counter"),
            value("mmu_valid_gen"),
            value("nx_huge_page_disallowed", "lpage_disallowed"),
            tuple(self._entries(page, own_tables)),
        )

    def _sptes(self, page: _Page) -> Iterator[tuple[int, int, bool]]:
        """Index and value of each entry that is not initial, and whether it points to a table."""
        for at, spte in enumerate(struct.unpack("<512Q", self.memory.physical(page.place))):
            if spte != self.vm.initial:
                yield at, spte, bool(spte & _PRESENT and page.role.level > 1 and not spte & _HUGE)

    def _translations(self, page: _Page) -> tuple[int, ...]:
        """gfn and access of each entry; empty if the page's role says them."""
        place = self.memory.get(page.at, "kvm_mmu_page", "shadowed_translation")
        return struct.unpack("<512Q", self.memory.bytes(place, 8 * _ENTRIES)) if place else ()

    @staticmethod
    def _gfn(page: _Page, at: int, translations: tuple[int, ...]) -> int:
        """The first gfn that a leaf maps."""
        if translations:
            return translations[at] >> _PAGE_SHIFT
        return page.gfn + (0 if page.role.passthrough else at << 9 * (page.role.level - 1))

    def _entries(self, page: _Page, own_tables: set[int]) -> Iterator[PageEntry]:
        memory = self.memory
        translations = self._translations(page)
        place = memory.place(page.at, "kvm_mmu_page", "unsync_child_bitmap")
        bitmap = int.from_bytes(memory.bytes(place, _ENTRIES // 8), "little")
        for at, spte, is_table in self._sptes(page):
            unsync = bitmap >> at & 1
            if is_table:
                child = spte & ADDRESS
                if child not in own_tables:
                    yield PageEntry(at, spte & ~ADDRESS, self._serials.get(child, 0), 0, 0, unsync)
                continue
            if not spte & _PRESENT:
                yield PageEntry(at, spte, 0, 0, 0, unsync)
                continue
            gfn = self._gfn(page, at, translations)
            if self.own(gfn):
                self.own_leaves += 1
                continue
            self.leaves.append((page.role.smm, gfn, spte))
            shadowed = translations[at] if translations else 0
            yield PageEntry(at, spte, 0, shadowed >> _PAGE_SHIFT, shadowed & _ACCESS, unsync)

    def _own_leaves(self, page: _Page) -> Iterator[int]:
        """The leaves of a page of the guest's own."""
        for at, spte, is_table in self._sptes(page):
            if not is_table and spte & _PRESENT:
                yield at

    def _count(self, head: int) -> int:
        """The number of SPTEs in an rmap, struct kvm_rmap_head."""
        head &= ~2  # Locked, since v6.13.
        if not head & 1:
            return int(head != 0)
        memory, total = self.memory, 0
        at = head & ~1
        for _ in range(_MOST_DESCRIPTORS):
            if not at:
                break
            total += memory.get(at, "pte_list_desc", "spte_count")
            at = memory.get(at, "pte_list_desc", "more")
        return total

    # Roots

    def _page_at(self, address: int) -> int:
        """The struct of the shadow page whose table is at a physical address; 0 if it is no shadow page."""
        if address in (0, _NO_PAGE) or not address & ADDRESS:
            return 0
        memory = self.memory
        frame = (address & ADDRESS) >> _PAGE_SHIFT
        page = _PAGES + frame * memory.size("page")
        found = memory.get(page, "page", "private")
        return found if found >> 63 else 0

    def _pae_roots(self, mmu: int) -> list[int]:
        place = self.memory.get(mmu, "kvm_mmu", "pae_root")
        if not place:
            return [0] * _PAE_ROOTS
        entries = [self.memory.word(place + 8 * n) for n in range(_PAE_ROOTS)]
        return [0 if entry == _NO_PAGE else entry for entry in entries]

    def _prev_roots(self, mmu: int) -> list[int]:
        """Addresses of the structs of cached roots."""
        first = self.memory.place(mmu, "kvm_mmu", "prev_roots")
        return [first + n * self.memory.size("kvm_mmu_root_info") for n in range(_PREV_ROOTS)]

    def _zapped_roots(self) -> list[_Page]:
        """Pages in no list, as they were zapped while vCPUs had them as roots."""
        memory, found = self.memory, dict[int, _Page]()
        for vcpu in self.vm.vcpus:
            for name in ("root_mmu", "guest_mmu"):
                mmu = memory.place(vcpu, "kvm_vcpu", f"arch.{name}")
                roots = [memory.get(mmu, "kvm_mmu", "root.hpa")]
                roots += [memory.get(prev, "kvm_mmu_root_info", "hpa") for prev in self._prev_roots(mmu)]
                for root in (*roots, *self._pae_roots(mmu)):
                    at = self._page_at(root)
                    if at and memory.get(at, "kvm_mmu_page", "role.invalid"):
                        found.setdefault(at, self._page(at))
        return [*found.values()]

    def _serial_at(self, address: int) -> int:
        return 0 if address == _NO_PAGE else self._serials.get(address & ADDRESS, 0)

    def _paging(self, vcpu: int) -> PagingView:
        memory = self.memory
        mmu = memory.get(vcpu, "kvm_vcpu", "arch.mmu")
        root = memory.get(mmu, "kvm_mmu", "root.hpa")

        def register(name: str) -> int:
            return memory.get(vcpu, "kvm_vcpu", f"arch.{name}") if self.registers else 0

        return PagingView(
            cr0=register("cr0") & ~CR0_ET,
            cr3=register("cr3"),
            cr4=register("cr4"),
            efer=register("efer"),
            guest_mode=0,
            root_role=self._role(mmu, "kvm_mmu", "root_role"),
            root=self._serial_at(root),
            pgd=0 if root == _NO_PAGE else memory.get(mmu, "kvm_mmu", "root.pgd"),
            prev_roots=tuple(self._prev_root(prev) for prev in self._prev_roots(mmu)),
            pae_roots=tuple(self._serial_at(entry) for entry in self._pae_roots(mmu)),
            pf_guest=memory.get(vcpu, "kvm_vcpu", "stat.pf_guest"),
            invlpg=memory.get(vcpu, "kvm_vcpu", "stat.invlpg"),
            tlb=(),
        )

    def _prev_root(self, prev: int) -> tuple[int, int]:
        root = self.memory.get(prev, "kvm_mmu_root_info", "hpa")
        pgd = self.memory.get(prev, "kvm_mmu_root_info", "pgd")
        return self._serial_at(root), 0 if root == _NO_PAGE else pgd

    # Counters and rmaps

    def _counters(self, own: list[_Page]) -> Counters:
        memory, kvm = self.memory, self.vm.kvm
        values = {name: memory.get(kvm, "kvm", f"stat.{name}") for name in _STAT}
        used = "arch.n_used_mmu_pages"
        used = used if memory.member("kvm", used) else "stat.mmu_shadow_pages"
        values["mmu_shadow_zapped"] -= self._own_zapped
        values["mmu_cache_miss"] -= self._own_made
        indirect = memory.get(kvm, "kvm", "arch.indirect_shadow_pages")
        return Counters(
            **values,
            n_used_mmu_pages=memory.get(kvm, "kvm", used) - len(own),
            n_max_mmu_pages=0,
            indirect_shadow_pages=indirect - sum(not page.role.direct for page in own),
        )

    def _rmaps(self) -> list[RmapView]:
        """What is kept per gfn and level of each memslot of the story, where it is not 0."""
        return sorted(row for as_id in (0, 1) for slot in self.vm.slot_places(as_id)
                      for level in (1, 2, 3) for row in self._rmaps_of(as_id, slot, level))  # fmt: skip

    def _rmaps_of(self, as_id: int, slot: int, level: int) -> Iterator[RmapView]:
        memory, shift = self.memory, 9 * (level - 1)
        base = memory.get(slot, "kvm_memory_slot", "base_gfn")
        first = base >> shift
        size = (base + memory.get(slot, "kvm_memory_slot", "npages") - 1 >> shift) - first + 1
        heads = self._array(slot, f"arch.rmap+{8 * (level - 1)}", "Q", size)
        lpages = self._array(slot, f"arch.lpage_info+{8 * (level - 2)}", "i", size) if level > 1 else {}
        tracked = self._array(slot, self._track(), "H", size) if level == 1 else {}
        for n in sorted({*heads, *lpages, *tracked}):
            sptes = self._count(heads.get(n, 0))
            row = RmapView(as_id, level, first + n << shift, sptes, lpages.get(n, 0), tracked.get(n, 0))
            if any(row[3:]):
                yield row

    def _track(self) -> str:
        new = "arch.gfn_write_track"
        return f"{new if self.memory.member('kvm_memory_slot', new) else 'arch.gfn_track'}+0"

    def _array(self, slot: int, path: str, form: str, size: int) -> dict[int, int]:
        """The elements that are not 0 of an array to which a member of a memslot points."""
        name, _, more = path.partition("+")
        pointer = self.memory.word(self.memory.place(slot, "kvm_memory_slot", name) + int(more))
        if not pointer:
            return {}
        content = self.memory.bytes(pointer, size * struct.calcsize(form))
        if not content.strip(b"\0"):
            return {}
        return {n: value for n, value in enumerate(struct.unpack(f"<{size}{form}", content)) if value}
