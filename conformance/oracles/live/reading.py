# SPDX-License-Identifier: GPL-2.0-only
"""Reads the state of the VM from the kernel's memory: counters, vCPUs, memslots, the TDP MMU's tables."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from conformance.interface.live import STUB_GFN
from conformance.interface.observation import RootView, SlotView, State, VcpuView
from conformance.oracles.live.memory import ADDRESS, Memory, Unreadable

__all__ = ["Tables", "VmReader"]

_PRESENT, _HUGE = 1 << 11, 1 << 7
_SLOTS = 32
"""Memslots of stories have smaller ids."""

# Bits of kvm_vcpu.requests, arch/x86/include/asm/kvm_host.h.
_TLB_FLUSH = 0
_OTHER = {39: 1, 8 + 3: 2, 8 + 5: 4, 8 + 26: 8, 8 + 27: 16}
"""FREE_OBSOLETE_ROOTS, MMU_SYNC, LOAD_MMU_PGD, TLB_FLUSH_CURRENT, TLB_FLUSH_GUEST: as VcpuView has them."""

_VM_COUNTERS = {
    "invalidate_in_progress": "mmu_invalidate_in_progress",
    "invalidate_seq": "mmu_invalidate_seq",
    "flush_requests": "stat.generic.remote_tlb_flush_requests",
    "flushes": "stat.generic.remote_tlb_flush",
    "pages_4k": "stat.pages_4k",
    "pages_2m": "stat.pages_2m",
    "pages_1g": "stat.pages_1g",
    "nx_lpage_splits": "stat.nx_lpage_splits",
}
_VCPU_COUNTERS = tuple(name for name in State._fields if name.startswith("pf_"))


@dataclass
class Tables:
    """Serial numbers of page tables: one that has gone gives its number to no other at its address."""

    _numbers: dict[int, int] = field(default_factory=dict)
    _last: int = 0

    def forget(self, addresses: Iterable[int]) -> None:
        """What is at these addresses from now on is not what was there."""
        for address in addresses:
            self._numbers.pop(address, None)

    def serials(self, addresses: list[int]) -> dict[int, int]:
        """The number of each table that there is now, by its physical address."""
        now = {}
        for address in addresses:
            number = self._numbers.get(address, 0)
            if not number:
                self._last += 1
                number = self._last
            now[address] = number
        self._numbers = now
        return now


@dataclass
class VmReader:
    """Reads one VM, the newest of the machine.

    smm_mask: the bit of hflags that says that a vCPU is in SMM. initial: the value of an SPTE that was never
    set.
    """

    memory: Memory
    smm_mask: int
    initial: int
    kvm: int = field(init=False)
    vcpus: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.memory.forget()
        head = self.memory.symbols["vm_list"]
        found = next(self.memory.listed(head, "kvm", "vm_list"), None)
        if found is None:
            raise Unreadable("the kernel has no VM")
        self.kvm = found
        self.vcpus = self._vcpus()

    def _vcpus(self) -> list[int]:
        """Their addresses. An xarray of one element is the pointer itself, else a node."""
        entry = self.memory.get(self.kvm, "kvm", "vcpu_array.xa_head")
        if entry & 3 != 2:
            return [entry] if entry else []
        slots = self.memory.place(entry - 2, "xa_node", "slots")
        return [slot for n in range(64) if (slot := self.memory.word(slots + 8 * n))]

    def state(self) -> State:
        """Counters, as they are since the machine was booted or the VM created."""
        memory = self.memory
        values = {name: memory.get(self.kvm, "kvm", path) for name, path in _VM_COUNTERS.items()}
        values["generation"] = memory.get(
            memory.get(self.kvm, "kvm", "memslots"), "kvm_memslots", "generation"
        )
        for name in _VCPU_COUNTERS:
            values[name] = sum(memory.get(vcpu, "kvm_vcpu", f"stat.{name}") for vcpu in self.vcpus)
        return State(**values)

    def roots(self, tables: Tables) -> tuple[list[RootView], list[int], int]:
        """The TDP MMU's roots, oldest first, their physical addresses, the leaves of the guest's memory."""
        memory = self.memory
        head = memory.place(self.kvm, "kvm", "arch.tdp_mmu_roots")
        pages = [*memory.listed(head, "kvm_mmu_page", "link")][::-1]
        places = [memory.get(page, "kvm_mmu_page", "spt") - memory.page_offset for page in pages]
        walk = _Walk(memory, self.initial)
        found = []
        for page, place in zip(pages, places, strict=True):
            level = memory.get(page, "kvm_mmu_page", "role.level")
            flat: list[int] = []
            walk.table(place, level, 0, flat)
            found.append(
                RootView(
                    memory.get(page, "kvm_mmu_page", "role.smm"),
                    level,
                    memory.get(page, "kvm_mmu_page", "role.invalid"),
                    memory.get(page, "kvm_mmu_page", "tdp_mmu_root_count"),
                    flat,
                )
            )
        serials = tables.serials(walk.children)
        for root in found:
            for at in range(3, len(root.flat), 4):
                root.flat[at] = serials.get(root.flat[at], 0)
        return found, places, walk.own_leaves

    def vcpu_views(self, roots: list[int]) -> list[VcpuView]:
        """The vCPUs; ``roots`` are the physical addresses of the roots. Flushes done are not known."""
        return [self._vcpu(vcpu, roots) for vcpu in self.vcpus]

    def _vcpu(self, vcpu: int, roots: list[int]) -> VcpuView:
        memory = self.memory
        requests = memory.get(vcpu, "kvm_vcpu", "requests")
        root = memory.get(memory.get(vcpu, "kvm_vcpu", "arch.mmu"), "kvm_mmu", "root.hpa")
        return VcpuView(
            roots.index(root) if root in roots else -1,
            requests >> _TLB_FLUSH & 1,
            sum(bit for request, bit in _OTHER.items() if requests >> request & 1),
            0,
            int(bool(memory.get(vcpu, "kvm_vcpu", "arch.hflags") & self.smm_mask)),
        )

    def process_tables(self) -> int:
        """The physical address of the page tables of the process that owns the VM."""
        owner = self.memory.get(self.kvm, "kvm", "mm")
        return self.memory.get(owner, "mm_struct", "pgd") - self.memory.page_offset

    def set_generation(self, value: int) -> None:
        """Set the generation of the memslots; those of the address spaces are never equal."""
        for as_id in (0, 1):
            memslots = self.memory.word(self.memory.place(self.kvm, "kvm", "memslots") + 8 * as_id)
            self.memory.set_word(self.memory.place(memslots, "kvm_memslots", "generation"), value + as_id)

    def hflags(self, vcpu: int) -> int:
        """The flags of a vCPU."""
        return self.memory.get(self.vcpus[vcpu], "kvm_vcpu", "arch.hflags")

    def slots(self) -> list[tuple[SlotView, int]]:
        """The memslots of the story, sorted, with the address of each one's memory in the process."""
        return sorted(self._slot(slot) for as_id in (0, 1) for slot in self.slot_places(as_id))

    def slot_places(self, as_id: int) -> Iterator[int]:
        """The addresses of the memslots of the story in an address space."""
        memory = self.memory
        whole = memory.word(memory.place(self.kvm, "kvm", "memslots") + 8 * as_id)
        hashes = memory.member("kvm_memslots", "id_hash")
        node = memory.member("kvm_memory_slot", "id_node")
        assert hashes is not None and node is not None
        # Each slot is linked in two sets of memslots, of which one is active: struct hlist_node id_node[2].
        more = memory.get(whole, "kvm_memslots", "node_idx") * node.bits // 16
        for n in range(hashes.bits // 64):
            head = whole + hashes.bit // 8 + 8 * n
            for slot in memory.hashed(head, "kvm_memory_slot", "id_node", more):
                if memory.get(slot, "kvm_memory_slot", "id") < _SLOTS:
                    yield slot

    def _slot(self, slot: int) -> tuple[SlotView, int]:
        memory = self.memory

        def value(name: str) -> int:
            return memory.get(slot, "kvm_memory_slot", name)

        npages, bitmap = value("npages"), value("dirty_bitmap")
        size = (npages + 63) // 64
        words = struct.unpack(f"<{size}Q", memory.bytes(bitmap, 8 * size)) if bitmap else ()
        view = SlotView(value("as_id"), value("id"), value("base_gfn"), npages, value("flags"), words)
        return view, value("userspace_addr")


@dataclass
class _Walk:
    """A walk of page tables. It counts the leaves of the guest's own memory, which it leaves out."""

    memory: Memory
    initial: int
    own_leaves: int = 0
    children: list[int] = field(default_factory=list)
    """Physical addresses of the tables below roots, once each."""

    def table(self, place: int, level: int, first: int, flat: list[int]) -> None:
        """Append level, gfn, SPTE and child of the entries of a table that differ from the initial value."""
        if level < 1:
            raise Unreadable("a page table is below level 1")
        for n, spte in enumerate(struct.unpack("<512Q", self.memory.physical(place))):
            if spte == self.initial:
                continue
            gfn = first + (n << 9 * (level - 1))
            is_table = spte & _PRESENT and level > 1 and not spte & _HUGE
            child = spte & ADDRESS if is_table else 0
            if gfn >= STUB_GFN:
                self._own(child, spte, level, gfn)
                continue
            flat += (level, gfn, spte & ~ADDRESS if child else spte, child)
            if child:
                self.children.append(child)
                self.table(child, level - 1, gfn, flat)

    def _own(self, child: int, spte: int, level: int, gfn: int) -> None:
        if child:
            self.table(child, level - 1, gfn, [])
        elif spte & _PRESENT:
            self.own_leaves += 1
