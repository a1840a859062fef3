# SPDX-License-Identifier: GPL-2.0-only
"""Relocatable x86-64 ELF files, kernel modules and our own objects: sections, symbols, relocations."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.errors import ConformanceError
from conformance.kernels.elf import ABSOLUTE, RELA, RELOCATABLE, X86_64, Elf, ElfSymbol

__all__ = ["Object", "Relocation", "Section", "SymbolEntry", "read_object"]

MOST_MEMORY = 64 << 20
"""Bytes of the sections of an object; those of kvm.ko that lie in memory take 2 MB."""
MOST_ALIGNMENT = 1 << 16
"""Bytes to which a section is aligned; a page is the most that is seen."""
MOST_RELOCATIONS = 1 << 20
"""Relocations of an object; kvm.ko has 60,000."""

_RELOCATION = struct.Struct("<QQq")


@dataclass(frozen=True)
class Relocation:
    """A place in a section that depends on where a symbol lies."""

    offset: int
    kind: int
    symbol: int
    addend: int


@dataclass(frozen=True)
class Section:
    """A section that lies in memory when the code runs."""

    name: str
    size: int
    alignment: int
    writable: bool
    executable: bool
    content: bytes
    relocations: list[Relocation] = field(default_factory=list)


@dataclass(frozen=True)
class SymbolEntry:
    """A symbol of one object. ``section`` is the number of the section that it lies in."""

    name: str
    value: int
    size: int
    kind: str
    """"function", "object", "section" or ""."""
    is_global: bool
    section: int
    absolute: bool

    @property
    def is_defined(self) -> bool:
        """Whether this object says where it is."""
        return self.section != 0 or self.absolute


@dataclass(frozen=True)
class Object:
    """A relocatable file."""

    file: str
    sections: dict[int, Section]
    symbols: list[SymbolEntry]

    def named(self, name: str) -> list[SymbolEntry]:
        """What it defines by that name, in memory."""
        return [symbol for symbol in self.symbols if symbol.name == name and symbol.section in self.sections]

    def section(self, *names: str) -> int | None:
        """The number of the first section with one of those names; None if none exists."""
        return next((number for number, one in self.sections.items() if one.name in names), None)


def read_object(data: bytes, file: str) -> Object:
    """Read one. Raises ConformanceError, which names the file, if it is no object file or damaged."""
    elf = Elf(data, file)
    if (elf.type, elf.machine) != (RELOCATABLE, X86_64):
        raise ConformanceError(f"{file}: this is no kernel module for x86-64.")
    table = elf.section(".symtab")
    if table is None:
        raise ConformanceError(f"{file}: it was stripped of its symbols; get one that was not.")
    symbols = [_symbol(one) for one in elf.symbols(table)]
    return Object(file, _sections(elf, len(symbols)), symbols)


def _symbol(one: ElfSymbol) -> SymbolEntry:
    kinds = {1: "object", 2: "function", 3: "section"}
    return SymbolEntry(
        name=one.name,
        value=one.value,
        size=one.size,
        kind=kinds.get(one.info & 15, ""),
        is_global=one.info >> 4 != 0,
        section=0 if one.section == ABSOLUTE else one.section,
        absolute=one.section == ABSOLUTE,
    )


def _sections(elf: Elf, symbols: int) -> dict[int, Section]:
    found: dict[int, Section] = {}
    for number, section in enumerate(elf.sections):
        if section.flags & 2 and section.size:
            alignment = max(1, section.alignment)
            if alignment > MOST_ALIGNMENT or alignment & (alignment - 1):
                elf.damaged(f"section {section.name} is aligned to {section.alignment:,} bytes")
            found[number] = Section(
                name=section.name,
                size=section.size,
                alignment=alignment,
                writable=bool(section.flags & 1),
                executable=bool(section.flags & 4),
                content=elf.content(section),
            )
    size = sum(section.size for section in found.values())
    if size > MOST_MEMORY:
        raise ConformanceError(
            f"{elf.file} is not read: its sections take {size:,} bytes of memory, more than {MOST_MEMORY:,}."
        )
    count = 0
    for section in elf.sections:
        if section.kind == RELA and section.info in found:
            count += section.size // _RELOCATION.size
            if section.size % _RELOCATION.size or count > MOST_RELOCATIONS:
                elf.damaged(f"{count:,} relocations")
            found[section.info].relocations.extend(
                _relocations(elf, elf.content(section), found[section.info], symbols)
            )
    return found


def _relocations(elf: Elf, data: bytes, section: Section, symbols: int) -> Iterator[Relocation]:
    for offset, info, addend in _RELOCATION.iter_unpack(data):
        if info >> 32 >= symbols or offset >= section.size:
            elf.damaged(f"a relocation of {section.name} beyond its end, or that of its symbols")
        yield Relocation(offset, info & 0xFFFF_FFFF, info >> 32, addend)
