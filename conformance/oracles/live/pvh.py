# SPDX-License-Identifier: GPL-2.0-only
"""A kernel as its PVH entry takes it: its segments in memory, and the start info.

See include/xen/interface/hvm/start_info.h in the kernel's source.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from conformance.errors import ConformanceError

__all__ = ["PvhKernel", "pvh_kernel", "start_info"]

_MAGIC = 0x336EC578
_RAM = 1
_LOAD, _NOTE = 1, 4
_ENTRY = 18
"""XEN_ELFNOTE_PHYS32_ENTRY."""
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LOW_END, _HIGH_START = 0xA0000, 0x100000
"""Memory below 1 MiB ends where that of the display begins."""
_LEAST = 64
"""Bytes of the head of an ELF file."""


@dataclass(frozen=True)
class PvhKernel:
    """What is loaded: (physical address, content); the entry, and the end of the memory that it takes."""

    loads: tuple[tuple[int, bytes], ...]
    entry: int
    end: int


def pvh_kernel(data: bytes, file: str, memory: int) -> PvhKernel:
    """The kernel in a vmlinux, for a machine with so much memory.

    Raises ConformanceError, which names the file, if it has no such entry, is damaged or does not fit.
    """
    try:
        segments = [*_segments(data)]
        entries = [entry for kind, content, _, _ in segments if kind == _NOTE for entry in _entries(content)]
    except struct.error:
        _refuse(file, "it is damaged")
    if not entries:
        _refuse(file, "it has no PVH entry. Build it with CONFIG_PVH")
    loads = tuple((address, content) for kind, content, address, _ in segments if kind == _LOAD and content)
    end = max((address + size for kind, _, address, size in segments if kind == _LOAD), default=0)
    if not loads or min(address for address, _ in loads) < _HIGH_START or end > memory:
        _refuse(file, "its segments are not between 1 MiB and the end of the machine's memory")
    return PvhKernel(loads, entries[0], end)


def _refuse(file: str, why: str) -> NoReturn:
    raise ConformanceError(f"{file} cannot be booted: {why}.")


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """Kind, content, physical address and size in memory of each segment. Raises struct.error."""
    if len(data) < _LEAST:
        raise struct.error("cut off")
    (at,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    for n in range(count):
        kind, _, offset, _, address, size, whole, _ = _SEGMENT.unpack_from(data, at + n * _SEGMENT.size)
        if kind in (_LOAD, _NOTE):
            content = data[offset : offset + size]
            if len(content) != size or whole < size:
                raise struct.error("cut off")
            yield kind, content, address, whole


def _entries(notes: bytes) -> Iterator[int]:
    """The entries that the notes of a kernel name. Raises struct.error."""
    at = 0
    while at < len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name = at + 12
        content = name + _padded(name_size)
        if kind == _ENTRY and notes[name : name + name_size] == b"Xen\0":
            yield struct.unpack_from("<I", notes, content)[0]
        at = content + _padded(size)


def _padded(size: int) -> int:
    return size + -size % 4


def start_info(at: int, initrd: tuple[int, int], memory: int, options: str) -> bytes:
    """The start info for the address ``at``: the place and size of the initrd, the memory, the options."""
    ram = ((0, _LOW_END), (_HIGH_START, memory - _HIGH_START))
    areas = b"".join(struct.pack("<QQII", start, size, _RAM, 0) for start, size in ram)
    modules = struct.pack("<QQQQ", *initrd, 0, 0)
    head = 64
    modules_at = at + head
    areas_at = modules_at + len(modules)
    options_at = areas_at + len(areas)
    whole = struct.pack(
        "<IIIIQQQQII", _MAGIC, 1, 0, 1, modules_at, options_at, 0, areas_at, len(ram), 0
    ).ljust(head, b"\0")
    return whole + modules + areas + options.encode() + b"\0"
