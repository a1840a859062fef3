# SPDX-License-Identifier: GPL-2.0-only
"""Relocatable x86-64 ELF files, kernel modules and our own objects: sections, symbols, relocations."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from conformance.errors import ConformanceError

__all__ = ["Object", "Relocation", "Section", "SymbolEntry", "read_object"]

_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_ABSOLUTE, _RESERVED = 0xFFF1, 0xFF00


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
        """The number of the first section with one of those names; None if there is none."""
        return next((number for number, one in self.sections.items() if one.name in names), None)


def read_object(data: bytes, file: str) -> Object:
    """Read one. Raises ConformanceError, which names the file, if it is none or damaged."""
    try:
        elf = ELFFile(io.BytesIO(data))
        if elf["e_machine"] != "EM_X86_64" or elf["e_type"] != "ET_REL":
            raise ConformanceError(f"{file}: this is no kernel module for x86-64.")
        table = elf.get_section_by_name(".symtab")
        if table is None:
            raise ConformanceError(f"{file}: it was stripped of its symbols; get one that was not.")
        strings = elf.get_section(table["sh_link"]).data()
        symbols = [_symbol(raw, strings) for raw in _SYMBOL.iter_unpack(table.data())]
        sections = _sections(elf)
    except (ELFError, struct.error, ValueError, IndexError) as problem:
        raise ConformanceError(f"{file}: this is no whole ELF file ({problem}).") from None
    return Object(file, sections, symbols)


def _symbol(raw: tuple[int, ...], strings: bytes) -> SymbolEntry:
    name, info, _, section, value, size = raw
    kinds = {1: "object", 2: "function", 3: "section"}
    return SymbolEntry(
        name=strings[name : strings.index(0, name)].decode(errors="replace"),
        value=value,
        size=size,
        kind=kinds.get(info & 15, ""),
        is_global=info >> 4 != 0,
        section=section if section < _RESERVED else 0,
        absolute=section == _ABSOLUTE,
    )


def _sections(elf: ELFFile) -> dict[int, Section]:
    found: dict[int, Section] = {}
    for number, section in enumerate(elf.iter_sections()):
        flags = section["sh_flags"]
        if flags & 2 and section["sh_size"]:
            content = b"" if section["sh_type"] == "SHT_NOBITS" else section.data()
            found[number] = Section(
                name=section.name,
                size=section["sh_size"],
                alignment=max(1, section["sh_addralign"]),
                writable=bool(flags & 1),
                executable=bool(flags & 4),
                content=content,
            )
    for section in elf.iter_sections():
        if section["sh_type"] == "SHT_RELA" and section["sh_info"] in found:
            found[section["sh_info"]].relocations.extend(_relocations(section.data()))
    return found


def _relocations(data: bytes) -> Iterator[Relocation]:
    for offset, info, addend in _RELOCATION.iter_unpack(data):
        yield Relocation(offset, info & 0xFFFF_FFFF, info >> 32, addend)
