# SPDX-License-Identifier: GPL-2.0-only
"""Guests with page tables of their own, stored word by word, and what their instructions come to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conformance.interface.access import FETCH, READ, WRITE
from conformance.interface.observation import Observation, ShadowPageView, ShadowView
from conformance.interface.outcomes import ExecuteOutcome
from conformance.model.modes import VM_MODES
from conformance.oracles.kvm.oracle import KvmOracle

P, W, U, A, D, PS, NX = 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7, 1 << 63
PWU = P | W | U
FULL = PWU | A
NPAGES = 2048


class Guest:
    """A machine with a memslot from gfn 0. The guest's tables lie in gfns from 1000 down, the root first."""

    def __init__(self, machine: KvmOracle, level: int = 4) -> None:
        self.machine = machine
        self.level = level
        self.root = 1000
        self._next = 999
        self.tables: dict[tuple[int, int], int] = {}
        self.seen = machine.step("mmap", page=0, npages=NPAGES, writable=1, level=1)
        self.take("set_memory_region", slot=0, as_id=0, gfn=0, npages=NPAGES, page=0, flags=0)

    def take(self, name: str, **arguments: int) -> Observation:
        """A step, during which the kernel complains of nothing."""
        self.seen = self.machine.step(name, **arguments)
        assert self.seen.events == []
        return self.seen

    @property
    def shadow(self) -> ShadowView:
        """The state of shadow paging after the last step."""
        assert self.seen.shadow is not None
        return self.seen.shadow

    def touch(self, *gfns: int) -> None:
        """The host maps these gfns, each to a frame of its own."""
        for gfn in gfns:
            self.take("touch", page=gfn, write=1)

    def table_of(self, address: int, level: int) -> int:
        """The gfn of the guest's table of a level that translates an address; it is made if there is none."""
        if level == self.level:
            return self.root
        key = (level, address >> (12 + 9 * level))
        if key not in self.tables:
            self.tables[key] = self._next
            self._next -= 1
            self.entry(address, level + 1, self.tables[key] << 12 | FULL)
        return self.tables[key]

    def entry(self, address: int, level: int, entry: int) -> Observation:
        """Userspace writes the guest's entry of a level for an address."""
        index = address >> (12 + 9 * (level - 1)) & 511
        return self.take("store", gfn=self.table_of(address, level), index=index, value=entry)

    def map(self, address: int, gfn: int, flags: int = FULL, level: int = 1) -> Observation:
        """Userspace makes the guest map an address to a gfn."""
        return self.entry(address, level, gfn << 12 | flags | (PS if level > 1 else 0))

    def load(self, vcpu: int = 0) -> Observation:
        """The guest's root is loaded into CR3."""
        return self.take("set_cr3", vcpu=vcpu, value=self.root << 12)

    def execute(
        self,
        address: int,
        kind: int = READ,
        value: int = 0,
        privilege: int = 0,
        instruction: int = 0,
        vcpu: int = 0,
    ) -> ExecuteOutcome:
        """One instruction."""
        seen = self.take(
            "execute",
            vcpu=vcpu,
            address=address,
            kind=kind,
            privilege=privilege,
            value=value,
            instruction=instruction,
        )
        return ExecuteOutcome.read(seen.outcome)

    def read(self, address: int, **more: int) -> ExecuteOutcome:
        """A read."""
        return self.execute(address, READ, **more)

    def write(self, address: int, value: int = 1, **more: int) -> ExecuteOutcome:
        """A write."""
        return self.execute(address, WRITE, value, **more)

    def fetch(self, address: int, **more: int) -> ExecuteOutcome:
        """A fetch."""
        return self.execute(address, FETCH, **more)

    def pages(self, gfn: int) -> list[ShadowPageView]:
        """The shadow pages of a gfn."""
        return [page for page in self.shadow.pages if page.gfn == gfn]


@contextmanager
def guest(library: Path, mode: str = "shadow", level: int = 4, **options: int) -> Iterator[Guest]:
    """A guest on a machine of its own, which gives back what it took at the end."""
    with KvmOracle(library, VM_MODES[mode].host(), options) as machine:
        made = Guest(machine, level)
        yield made
        assert made.take("destroy").outcome == [0, 0, 0]
