# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's memory: addresses are translated by its own page tables, structures are read by its BTF."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Protocol

from conformance.errors import ConformanceError
from conformance.oracles.binary.btf import Btf, Member

__all__ = ["ADDRESS", "Memory", "Unreadable"]

_PAGE = 4096
ADDRESS = 0x000FFFFFFFFFF000
"""The bits of an address in an entry of a page table."""
_PRESENT, _HUGE = 1, 1 << 7
_KERNEL_IMAGE = 0xFFFFFFFF80000000
"""Where the kernel's image is mapped; without KASLR its physical address is 0."""
_MOST_ELEMENTS = 1 << 16
"""Elements of a list; a damaged one goes round in circles."""


class Unreadable(Exception):
    """The kernel's structures are not as its types say: they are damaged, or this suite misreads them."""


class Physical(Protocol):
    """Physical memory; see emulator.Emulator."""

    def read(self, address: int, size: int) -> bytes:
        """Bytes from an address on."""

    def write(self, address: int, data: bytes) -> None:
        """Change bytes from an address on."""


class Memory:
    """Kernel memory of a machine; ``symbols`` has the addresses of variables of the kernel."""

    page_offset = 0xFFFF888000000000
    """Where all memory is mapped: with four levels of tables, without KASLR."""

    def __init__(self, physical: Physical, btf: Btf, symbols: Mapping[str, int]) -> None:
        self._physical = physical
        self._btf = btf
        self._root = symbols["init_top_pgt"] - _KERNEL_IMAGE
        self._members: dict[tuple[str, str], Member | None] = {}
        self._pages: dict[int, int] = {}
        self.symbols = symbols

    def forget(self) -> None:
        """Forget translations: the machine has run since."""
        self._pages.clear()

    # Bytes

    def physical(self, address: int, size: int = _PAGE) -> bytes:
        """Bytes at a physical address. Raises Unreadable."""
        try:
            return self._physical.read(address, size)
        except ValueError as problem:
            raise Unreadable(str(problem)) from None

    def bytes(self, address: int, size: int) -> bytes:
        """Bytes at an address of the kernel. Raises Unreadable."""
        found = b""
        while size > 0:
            part = min(size, _PAGE - address % _PAGE)
            found += self.physical(self._translate(address), part)
            address += part
            size -= part
        return found

    def word(self, address: int) -> int:
        """8 bytes at an address of the kernel."""
        return int.from_bytes(self.bytes(address, 8), "little")

    def set_word(self, address: int, value: int) -> None:
        """Change 8 bytes at an address of the kernel. Raises Unreadable."""
        place = self._translate(address)
        try:
            self._physical.write(place, value.to_bytes(8, "little"))
        except ValueError as problem:
            raise Unreadable(str(problem)) from None

    def _translate(self, address: int) -> int:
        page = address // _PAGE
        if page not in self._pages:
            self._pages[page] = self._walk(page * _PAGE)
        return self._pages[page] | address % _PAGE

    def _walk(self, address: int) -> int:
        """The physical address of a page, by the kernel's four levels of tables."""
        table = self._root
        for shift in (39, 30, 21, 12):
            (entry,) = struct.unpack("<Q", self.physical(table + (address >> shift & 511) * 8, 8))
            if not entry & _PRESENT:
                raise Unreadable(f"{address:#x} is not mapped in the kernel")
            table = entry & ADDRESS
            if shift == 12 or entry & _HUGE:
                within = (1 << shift) - 1
                return table & ~within | address & within
        raise AssertionError("the last level has returned")

    # Structures

    def member(self, structure: str, path: str) -> Member | None:
        """The member of a structure, None if this kernel does not have it."""
        key = (structure, path)
        if key not in self._members:
            number = self._btf.aggregate(structure)
            if number is None:
                raise ConformanceError(f"{self._btf.file}: its types have no struct {structure}.")
            self._members[key] = self._btf.member(number, path)
        return self._members[key]

    def place(self, address: int, structure: str, path: str) -> int:
        """The address of a member of the structure at ``address``."""
        return address + self._need(structure, path).bit // 8

    def get(self, address: int, structure: str, path: str) -> int:
        """The value of a member that is an integer, a pointer or a bit field."""
        member = self._need(structure, path)
        if member.bitfield:
            whole = self.word(address + member.bit // 8)
            return whole >> member.bit % 8 & (1 << member.bits) - 1
        return int.from_bytes(self.bytes(address + member.bit // 8, min(member.bits // 8, 8)), "little")

    def listed(self, head: int, structure: str, path: str) -> Iterator[int]:
        """The structures of a list_head, in order; ``path`` is the member that links them."""
        return self._follow(head, head, structure, path)

    def hashed(self, head: int, structure: str, path: str, more: int = 0) -> Iterator[int]:
        """The structures of an hlist_head; ``more`` are bytes from ``path`` to the link."""
        return self._follow(head, 0, structure, path, more)

    def _follow(self, head: int, end: int, structure: str, path: str, more: int = 0) -> Iterator[int]:
        offset = self._need(structure, path).bit // 8 + more
        link = self.word(head)
        for _ in range(_MOST_ELEMENTS):
            if link == end:
                return
            yield link - offset
            link = self.word(link)
        raise Unreadable(f"a list of struct {structure} has no end")

    def _need(self, structure: str, path: str) -> Member:
        member = self.member(structure, path)
        if member is None:
            raise ConformanceError(f"{self._btf.file}: struct {structure} has no member {path}.")
        return member

    def size(self, structure: str) -> int:
        """Bytes of a structure."""
        number = self._btf.aggregate(structure)
        return 0 if number is None else self._btf.size(number)
