# SPDX-License-Identifier: GPL-2.0-only
"""Reading a kernel's memory and the host process's page tables, in a physical memory made by hand."""

from __future__ import annotations

import struct

import pytest
from btf_made import Made

from conformance.errors import ConformanceError
from conformance.interface.observation import RootView, SlotView
from conformance.oracles.binary.btf import Btf
from conformance.oracles.live.frames import HostPage, HostPages, leaves_of, page_at, wrong_frames
from conformance.oracles.live.memory import Memory, Unreadable

IMAGE = 0xFFFFFFFF80000000
DIRECT = 0xFFFF888000000000
BASE = 0x100000000000
ROOT, HIGH, MIDDLE, LOW = 0x1000, 0x2000, 0x3000, 0x4000


class Physical:
    """A memory of 16 MiB."""

    def __init__(self) -> None:
        self.content = bytearray(16 << 20)

    def read(self, address: int, size: int) -> bytes:
        if not 0 <= address <= len(self.content) - size:
            raise ValueError(f"{address:#x} is no memory of the machine")
        return bytes(self.content[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        self.read(address, len(data))
        self.content[address : address + len(data)] = data

    def physical(self, address: int, size: int = 4096) -> bytes:
        return self.read(address, size)

    def set(self, address: int, *words: int) -> None:
        self.write(address, struct.pack(f"<{len(words)}Q", *words))


def index(address: int, level: int) -> int:
    return address >> 12 + 9 * (level - 1) & 511


def layout() -> Btf:
    made = Made()
    u64, u32 = made.int("u64", 8), made.int("u32", 4)
    node = made.whole("struct", "list_head", 16, [("next", u64, 0), ("prev", u64, 64)])
    made.whole("struct", "flags", 4, [("low", u32, 0, 4), ("smm", u32, 4, 1), ("level", u32, 5, 3)], True)
    made.whole("struct", "kvm", 48, [("count", u64, 0), ("vm_list", node, 64), ("id", u32, 192)])
    return Btf(made.data(), "test")


@pytest.fixture
def physical() -> Physical:
    """The kernel's image at 0 and all memory at the direct map, in pages of 2 MiB."""
    made = Physical()
    made.set(ROOT + 8 * index(IMAGE, 4), HIGH | 1)
    made.set(HIGH + 8 * index(IMAGE, 3), MIDDLE | 1)
    made.set(MIDDLE + 8 * index(IMAGE, 2), 0 | 0x81)
    made.set(ROOT + 8 * index(DIRECT, 4), 0x5000 | 1)
    made.set(0x5000, 0x6000 | 1)
    for n in range(8):
        made.set(0x6000 + 8 * n, n << 21 | 0x81)
    # One page of 4 KiB above: the frame at 0x9000.
    made.set(0x6000 + 8 * 8, LOW | 1)
    made.set(LOW + 8 * 3, 0x9000 | 1)
    made.set(0x8000, DIRECT)
    return made


@pytest.fixture
def memory(physical) -> Memory:
    symbols = {"init_top_pgt": IMAGE + ROOT, "page_offset_base": IMAGE + 0x8000, "vm_list": DIRECT + 0x10000}
    return Memory(physical, layout(), symbols)


def test_addresses_are_translated_by_the_kernels_tables(physical, memory):
    assert memory.page_offset == DIRECT
    physical.set(0x9008, 0x1234)
    small = DIRECT + (8 << 21) + 0x3000
    assert memory.word(small + 8) == 0x1234
    physical.write(0x1FFFFC, b"abcdefgh")
    assert memory.bytes(DIRECT + 0x1FFFFC, 8) == b"abcdefgh"
    with pytest.raises(Unreadable, match="is not mapped"):
        memory.word(small + 0x1000)
    with pytest.raises(Unreadable, match="is not mapped"):
        memory.bytes(small + 0xFFC, 8)


def test_a_translation_is_kept_until_it_is_forgotten(physical, memory):
    small = DIRECT + (8 << 21) + 0x3000
    physical.set(0x9000, 1)
    physical.set(0xA000, 2)
    assert memory.word(small) == 1
    physical.set(LOW + 8 * 3, 0xA000 | 1)
    assert memory.word(small) == 1
    memory.forget()
    assert memory.word(small) == 2


def test_an_address_behind_the_memory(physical, memory):
    physical.set(LOW + 8 * 3, 1 << 40 | 1)
    with pytest.raises(Unreadable, match="no memory of the machine"):
        memory.word(DIRECT + (8 << 21) + 0x3000)
    with pytest.raises(Unreadable, match="no memory of the machine"):
        memory.set_word(DIRECT + (8 << 21) + 0x3000, 1)


def test_a_word_is_changed(physical, memory):
    memory.set_word(DIRECT + 0x20000, (1 << 63) + 5)
    assert physical.read(0x20000, 8) == struct.pack("<Q", (1 << 63) + 5)


def test_members_and_bit_fields(physical, memory):
    physical.set(0x20000, 7)
    physical.write(0x20018, struct.pack("<I", 99))
    assert memory.get(DIRECT + 0x20000, "kvm", "count") == 7
    assert memory.get(DIRECT + 0x20000, "kvm", "id") == 99
    physical.write(0x21000, struct.pack("<I", 0xDEADBE0F | 1 << 4 | 5 << 5))
    flags = [memory.get(DIRECT + 0x21000, "flags", name) for name in ("low", "smm", "level")]
    assert flags == [0xF, 1, (0xDEADBE0F | 1 << 4 | 5 << 5) >> 5 & 7]
    assert memory.member("kvm", "nothing") is None
    with pytest.raises(ConformanceError, match=r"struct kvm has no member arch\.x"):
        memory.get(DIRECT, "kvm", "arch.x")
    with pytest.raises(ConformanceError, match="no struct kvm_arch"):
        memory.get(DIRECT, "kvm_arch", "x")


def test_lists_end_where_they_began(physical, memory):
    head, first, second = DIRECT + 0x10000, DIRECT + 0x20000, DIRECT + 0x30000
    physical.set(0x10000, first + 8)
    physical.set(0x20008, second + 8)
    physical.set(0x30008, head)
    assert [*memory.listed(head, "kvm", "vm_list")] == [first, second]
    physical.set(0x30008, first + 8)
    with pytest.raises(Unreadable, match="has no end"):
        [*memory.listed(head, "kvm", "vm_list")]
    physical.set(0x30008, 0x1234)
    with pytest.raises(Unreadable, match="not mapped"):
        [*memory.listed(head, "kvm", "vm_list")]


@pytest.fixture
def process(physical) -> HostPages:
    """Page 5 is in frame 0x100, pages 0x200 to 0x3ff are a huge page from frame 0x400 on."""
    tables = 0x700000
    physical.set(tables + 8 * index(BASE, 4), tables + 0x1000 | 7)
    physical.set(tables + 0x1000 + 8 * index(BASE, 3), tables + 0x2000 | 7)
    physical.set(tables + 0x2000, tables + 0x3000 | 7, 0x400000 | 0x87)
    physical.set(tables + 0x3000 + 8 * 5, 0x100000 | 7)
    return HostPages(physical, tables)


def test_pages_of_the_process(process):
    assert page_at(BASE + 0x5000) == 5
    assert process.page(5) == HostPage(0x100, 1)
    assert process.page(0x200) == HostPage(0x400, 2)
    assert process.page(0x3FF) == HostPage(0x5FF, 2)
    assert process.page(4) is None and process.page(0x400) is None and process.page(1 << 20) is None


def spte(frame: int, present: int = 1) -> int:
    return frame << 12 | present << 11 | 7


def wrong(process, *flat, invalid=0, as_id=0):
    slots = [(SlotView(0, 0, 0x1000, 0x400, 0, ()), BASE)]
    root = RootView(as_id, 4, invalid, 1, [*flat])
    return wrong_frames(process, leaves_of([root]), slots)


def test_leaves_map_the_frames_of_their_pages(process):
    assert not wrong(process, 1, 0x1005, spte(0x100), 0, 2, 0x1200, spte(0x400), 0)
    assert wrong(process, 1, 0x1005, spte(0x101), 0) == [
        "gfn 0x1005 is mapped to frame 0x101, its page 0x5 has frame 0x100"
    ]
    assert wrong(process, 1, 0x1004, spte(0x100), 0) == [
        "gfn 0x1004 is mapped to frame 0x100, its page 0x4 has no frame"
    ]
    assert wrong(process, 2, 0x1200, spte(0x600), 0)


def test_leaves_that_are_not_looked_at(process):
    assert not wrong(process, 1, 0x1004, spte(0x100), 0, invalid=1)
    assert not wrong(process, 1, 0x1004, spte(0x100, present=0), 0)
    assert not wrong(process, 1, 0x1004, spte(0x100), 9)
    assert not wrong(process, 1, 0x1004, spte(0x100), 0, as_id=1)
    assert not wrong(process, 1, 0x1400, spte(0x100), 0)
