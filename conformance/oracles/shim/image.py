# SPDX-License-Identifier: GPL-2.0-only
"""The image of a shim library: what the dynamic linker would make of it, at an address of our choice."""

from __future__ import annotations

import struct
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from conformance.errors import ConformanceError
from conformance.oracles.image import EntryCode, Image, Segment, Symbol, listed_entries

__all__ = ["shim_image"]

BASE = 0x5555_4000_0000
"""Where the library lies: high, as in a process, so that code that loses half of an address is noticed."""
IMPORTS = 0x7000_0000
"""Where what libc would provide lies: nowhere. Called as a library comes and goes, and by nothing else."""

_RELATIVE = 8
_64 = 1
_BY_SYMBOL = (6, 7)
"""R_X86_64_RELATIVE, R_X86_64_64; R_X86_64_GLOB_DAT and R_X86_64_JUMP_SLOT, which have no addend."""


def shim_image(library: Path) -> Image:
    """The image of a built shim library."""
    with library.open("rb") as file:
        elf = ELFFile(file)
        memory = _Memory(elf)
        _relocate(elf, memory, library)
        symbols = _symbols(elf)
        return Image(
            segments=memory.segments(),
            symbols=symbols,
            entries=_entries(memory, symbols),
            sites={},
        )


class _Memory:
    """The loadable segments, while they are being relocated."""

    def __init__(self, elf: ELFFile) -> None:
        self._pieces: list[tuple[int, bytearray, int]] = []
        for segment in elf.iter_segments("PT_LOAD"):
            content = bytearray(segment.data())
            content.extend(bytes(segment["p_memsz"] - len(content)))
            self._pieces.append((BASE + segment["p_vaddr"], content, segment["p_flags"]))

    def _at(self, address: int) -> tuple[bytearray, int]:
        for start, content, _ in self._pieces:
            if start <= address < start + len(content):
                return content, address - start
        raise ConformanceError(f"the shim has nothing at {address:#x}, which it refers to")

    def write(self, address: int, value: int) -> None:
        content, offset = self._at(address)
        struct.pack_into("<Q", content, offset, value % (1 << 64))

    def unpack(self, form: str, address: int) -> tuple[int, ...]:
        content, offset = self._at(address)
        return struct.unpack_from(form, content, offset)

    def string(self, address: int) -> str:
        content, offset = self._at(address)
        return content[offset : content.index(0, offset)].decode()

    def segments(self) -> tuple[Segment, ...]:
        return tuple(
            Segment(address, bytes(content), writable=bool(flags & 2), executable=bool(flags & 1))
            for address, content, flags in self._pieces
        )


def _relocate(elf: ELFFile, memory: _Memory, library: Path) -> None:
    imports: dict[str, int] = {}
    for section in elf.iter_sections():
        if not isinstance(section, RelocationSection):
            continue
        names = elf.get_section(section["sh_link"])
        assert isinstance(names, SymbolTableSection)
        for relocation in section.iter_relocations():
            kind, addend = relocation["r_info_type"], relocation["r_addend"]
            if kind == _RELATIVE:
                value = BASE + addend
            elif kind == _64 or kind in _BY_SYMBOL:
                symbol = names.get_symbol(relocation["r_info_sym"])
                value = addend if kind == _64 else 0
                if symbol["st_shndx"] != "SHN_UNDEF":
                    value += BASE + symbol["st_value"]
                else:
                    value += imports.setdefault(symbol.name, IMPORTS + 16 * len(imports))
            else:
                raise ConformanceError(f"{library}: relocation type {kind} is not one that a shim has.")
            memory.write(BASE + relocation["r_offset"], value)


def _symbols(elf: ELFFile) -> dict[str, Symbol]:
    """Functions and variables by name. Of several alike that are local to their files the first counts."""
    table = elf.get_section_by_name(".symtab")
    found: dict[str, Symbol] = {}
    if isinstance(table, SymbolTableSection):
        for symbol in table.iter_symbols():
            if symbol.name and isinstance(symbol["st_shndx"], int):
                found.setdefault(symbol.name, Symbol(BASE + symbol["st_value"], symbol["st_size"]))
    return found


def _entries(memory: _Memory, symbols: dict[str, Symbol]) -> dict[str, EntryCode]:
    try:
        start, stop = (symbols[f"__{end}_shim_entries"].address for end in ("start", "stop"))
    except KeyError:
        raise ConformanceError("the shim has no symbols, so its entries cannot be found.") from None
    return listed_entries(start, stop, memory.unpack, memory.string)
