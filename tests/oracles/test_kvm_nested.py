# SPDX-License-Identifier: GPL-2.0-only
"""The kvm oracle with guests of the guest: nested EPT and NPT."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kvm_guests import FULL, D, Guest, guest

from conformance.interface.access import READ, WRITE, End, Exit

pytestmark = pytest.mark.kernel

ROOT, TABLE = 100, 103
"""The gfns of L1's nested tables for the lowest addresses of L2, from the root down to the last level."""
WRITE_BACK = 6 << 3


class Nested:
    """L1 and the tables that it has for L2."""

    def __init__(self, l1: Guest, mode: str) -> None:
        self.l1 = l1
        self.ept = mode != "npt"
        self.ad = int(mode == "ept-ad")
        self.leaf = 7 | WRITE_BACK if self.ept else FULL | D
        for gfn in range(ROOT, TABLE):
            l1.take("store", gfn=gfn, index=0, value=(gfn + 1) << 12 | 7)

    def map(self, gfn: int, to: int, more: int = 0) -> None:
        """Userspace makes L1 map a gfn of L2 to one of its own."""
        self.l1.take("store", gfn=TABLE, index=gfn, value=to << 12 | self.leaf | more)

    def enter(self) -> None:
        """L1 enters L2."""
        eptp = (0x1E | self.ad << 6) if self.ept else 0
        self.l1.take("enter_l2", vcpu=0, address=ROOT << 12 | eptp, ad=self.ad, exec_only=1)

    def leave(self) -> None:
        """An exit to L1."""
        self.l1.take("leave_l2", vcpu=0)


@pytest.fixture(params=["ept-ad", "ept-noad", "npt"])
def nested(kvm_library: Path, request: pytest.FixtureRequest) -> Iterator[Nested]:
    with guest(kvm_library, request.param) as l1:
        l1.touch(20, 21, ROOT, TABLE)
        yield Nested(l1, request.param)


def test_l2_reaches_the_memory_of_l1(nested: Nested) -> None:
    l1 = nested.l1
    written = l1.write(20 << 12 | 8, 42)
    assert l1.seen.shadow is None
    nested.map(7, 20)
    nested.enter()
    assert (l1.shadow.vcpus[0].guest_mode, l1.shadow.vcpus[0].cr0) == (1, 1)
    done = l1.read(7 << 12 | 8)
    assert [exit[1] for exit in done.exits] == [Exit.FIXED]
    assert done[1:] == (End.DONE, (1, written.words[1], 42))
    assert [page.role.guest_mode for page in l1.shadow.pages] == [1] * 4
    assert [one.page for one in l1.shadow.vcpus[0].tlb] == [7]
    # Of L1's own translations none is left, since it uses no VPID.
    assert l1.seen.tlb == [[]]
    nested.leave()
    paging = l1.shadow.vcpus[0]
    assert (paging.guest_mode, paging.cr0 >> 31, paging.root) == (0, 1, 0)
    assert l1.read(20 << 12 | 8).words == written.words
    assert [one.gfn for one in l1.seen.tlb[0]] == [20]


def test_l1_handles_the_faults_of_its_tables(nested: Nested) -> None:
    l1 = nested.l1
    nested.map(8, 20, 1 << 51)
    nested.enter()
    absent = l1.write(9 << 12 | 8)
    code, address, qualification = absent.words
    assert (absent.end, code & 0xFFFFFFFF & ~4, address) == (End.NESTED_EXIT, 2, 9 << 12 | 8)
    assert bool(qualification) == nested.ept
    reserved = l1.read(8 << 12)
    assert (reserved.end, reserved.words[0] & 8, reserved.words[2]) == (End.NESTED_EXIT, 8, 0)
    assert l1.take("access", vcpu=0, gfn=9, kind=READ).outcome == [Exit.RETRY, End.NESTED_EXIT]


def test_l1_changes_its_tables(nested: Nested) -> None:
    l1 = nested.l1
    nested.map(7, 20)
    nested.map(8, TABLE)
    nested.enter()
    before = l1.read(7 << 12).words[1]
    # L2 itself writes the table here, which goes unsync.
    assert l1.write(8 << 12 | 7 * 8, 21 << 12 | nested.leaf).end == End.DONE
    (table,) = l1.pages(TABLE)
    assert table.unsync == 1
    assert l1.read(7 << 12).words[1] == before
    nested.leave()
    if nested.ept:
        # Without INVEPT the old translation lives on; with NPT each entry synchronises.
        nested.enter()
        assert l1.read(7 << 12).words[1] == before
        nested.leave()
        l1.take("invept", vcpu=0)
    nested.enter()
    assert l1.read(7 << 12).words[1] == before + 1


def test_mmio_of_l2(nested: Nested) -> None:
    l1 = nested.l1
    nested.map(10, 5000)
    nested.enter()
    for kind in (READ, WRITE):
        done = l1.execute(10 << 12 | 4, kind)
        assert done[1:] == (End.USERSPACE, (6, 5000 << 12 | 4, int(kind == WRITE)))


def test_a_root_in_pae_mode(kvm_library: Path) -> None:
    with guest(kvm_library, "npt") as l1:
        l1.touch(20)
        assert l1.take("set_sregs", vcpu=0, cr0=0x80010001, cr4=0x20, efer=0x800, cr3=0x20000).outcome == [0]
        l1.take("store", gfn=ROOT, index=4, value=101 << 12 | 1)
        l1.take("store", gfn=101, index=0, value=102 << 12 | 7)
        l1.take("store", gfn=102, index=7, value=20 << 12 | FULL | D)
        # PDPTEs are where CR3 has them, at a multiple of 32 bytes.
        l1.take("enter_l2", vcpu=0, address=ROOT << 12 | 32, ad=0, exec_only=0)
        assert l1.write(7 << 12, 5).end == End.DONE
        roots = [page for page in l1.shadow.pages if page.root_count]
        assert [page.role.level for page in roots] == [2]
        assert [bool(serial) for serial in l1.shadow.vcpus[0].pae_roots] == [True, False, False, False]


def test_nested_tables_in_no_memslot(kvm_library: Path) -> None:
    with guest(kvm_library, "ept-ad") as l1:
        l1.take("enter_l2", vcpu=0, address=5000 << 12 | 0x1E, ad=0, exec_only=1)
        assert l1.read(0x5000).end in (End.USERSPACE, End.NESTED_EXIT)
        l1.take("leave_l2", vcpu=0)
        assert l1.read(0x5000).end == End.DONE
