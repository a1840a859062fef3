# SPDX-License-Identifier: GPL-2.0-only
"""Reads untrusted ELF files: sections and symbols, with every size checked before it is used.

A general ELF library trusts the file: a section without content may claim 2^60 bytes, a compressed one can
grow a thousandfold, a name can be as long as the file. Modules and kernels are read here, within limits; the
suite's own products are read with pyelftools.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO, NamedTuple, NoReturn

from conformance.errors import ConformanceError

__all__ = ["ABSOLUTE", "MOST_BYTES", "NOBITS", "RELA", "RELOCATABLE", "X86_64", "Elf", "ElfSymbol", "Section"]

MOST_BYTES = 256 << 20
"""The largest module or unpacked kernel. Debian's kvm.ko has 2 MB, with DWARF 40 MB; its vmlinux 65 MB."""
MOST_SYMBOLS = 1 << 18
"""The largest number of symbols; kvm.ko has 7,000."""
_LONGEST_NAME = 4096
"""The longest name in bytes; the kernel's KSYM_NAME_LEN is 512."""

RELOCATABLE, X86_64 = 1, 62
NOBITS, RELA = 8, 4
ABSOLUTE, _RESERVED = 0xFFF1, 0xFF00
_COMPRESSED = 0x800

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")


class Section(NamedTuple):
    """The header of a section; the meaning of ``link`` and ``info`` depends on ``kind``."""

    name: str
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int


class ElfSymbol(NamedTuple):
    """A symbol. ``section`` is 0 if it is undefined, ABSOLUTE if it is absolute."""

    name: str
    info: int
    section: int
    value: int
    size: int


class Elf:
    """A 64-bit little-endian ELF file, read on demand.

    All methods raise ConformanceError, which names the file, if it is damaged or truncated.
    """

    def __init__(self, data: bytes | IO[bytes], file: str) -> None:
        self.file = file
        self._stream: IO[bytes] = io.BytesIO(data) if isinstance(data, bytes) else data
        self._length = self._stream.seek(0, io.SEEK_END)
        ident, self.type, self.machine, _, _, _, at, *_, size, count, names = _HEADER.unpack(
            self._read(0, _HEADER.size)
        )
        if ident[:4] != b"\x7fELF" or ident[4:6] != b"\2\1":
            self.damaged("it is not of 64 bits, little-endian")
        if count and size != _SECTION.size:
            self.damaged(f"its section headers have {size} bytes")
        rows = [*_SECTION.iter_unpack(self._read(at, count * _SECTION.size))]
        self._check(rows)
        if rows and names >= len(rows):
            self.damaged("its sections have no names")
        strings = self._content(rows[names]) if rows else b""
        self.sections = [
            Section(self.string(strings, row[0]), row[1], row[2], row[4], row[5], row[6], row[7], row[8])
            for row in rows
        ]

    def damaged(self, how: str) -> NoReturn:
        """Raise ConformanceError; ``how`` is the damage."""
        raise ConformanceError(f"{self.file}: the ELF file is damaged ({how}). Get the file again.")

    def _check(self, rows: list[tuple[int, ...]]) -> None:
        """Raise ConformanceError unless all sections lie in the file."""
        for row in rows:
            if row[1] not in (0, NOBITS) and row[4] + row[5] > self._length:
                self._cut_off()

    def _cut_off(self) -> NoReturn:
        raise ConformanceError(
            f"{self.file} is cut off: it ends before its last section does. Get the file again."
        )

    def _read(self, offset: int, size: int) -> bytes:
        if offset + size > self._length:
            self._cut_off()
        if size > MOST_BYTES:
            self.damaged(f"{size:,} bytes in one section")
        self._stream.seek(offset)
        return self._stream.read(size)

    def _content(self, row: tuple[int, ...]) -> bytes:
        kind, flags, offset, size = row[1], row[2], row[4], row[5]
        if kind == NOBITS:
            return b""
        if flags & _COMPRESSED:
            self.damaged("a section is compressed that never is")
        return self._read(offset, size)

    def string(self, strings: bytes, at: int) -> str:
        """The string at an offset of a string table."""
        end = strings.find(b"\0", at, at + _LONGEST_NAME)
        if end < 0:
            self.damaged("a name without end")
        return strings[at:end].decode(errors="replace")

    def section(self, name: str) -> Section | None:
        """The first section with this name, or None."""
        return next((one for one in self.sections if one.name == name), None)

    def content(self, section: Section) -> bytes:
        """The content of a section; empty for SHT_NOBITS."""
        return self._content((0, section.kind, section.flags, 0, section.offset, section.size))

    def unpacked_size(self, section: Section) -> int:
        """The size of a section's content after decompression."""
        if section.flags & _COMPRESSED and section.size >= 24:
            return int.from_bytes(self._read(section.offset + 8, 8), "little")
        return section.size

    def named(self, name: str) -> bytes | None:
        """The content of the first section with this name, or None."""
        section = self.section(name)
        return None if section is None else self.content(section)

    def symbols(self, table: Section) -> Iterator[ElfSymbol]:
        """The symbols of a table; the first is the null symbol."""
        if table.link >= len(self.sections):
            self.damaged("its symbols have no names")
        strings, content = self.content(self.sections[table.link]), self.content(table)
        if len(content) % _SYMBOL.size or len(content) // _SYMBOL.size > MOST_SYMBOLS:
            self.damaged(f"a symbol table of {len(content):,} bytes")
        for name, info, _, section, value, size in _SYMBOL.iter_unpack(content):
            inside = section < _RESERVED or section == ABSOLUTE
            yield ElfSymbol(self.string(strings, name), info, section if inside else 0, value, size)
