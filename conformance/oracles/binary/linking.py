# SPDX-License-Identifier: GPL-2.0-only
"""Linking: a kernel module and objects of ours, laid out and relocated at fixed addresses below 2 GiB.

What ours define takes the place of what the module defines or lacks by that name: a function of the module's
begins with a jump to ours. Undefined symbols are placed where no memory is, so that a use of one is reported
with its name. Ours may refer to what is local in the module where its name is unique.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from conformance.errors import ConformanceError
from conformance.oracles.binary.objects import Object, SymbolEntry
from conformance.oracles.image import Image, Segment, Site, Symbol, listed_entries

__all__ = ["BASE", "NOWHERE", "BugEntry", "link"]

BASE = 0x6000_0000
"""Where the image begins: so that all of it is below 2 GiB, and above the heap of a program that lies low.

Python may be one, and Linux puts a heap up to 1 GiB above its program (since v6.9).
"""
NOWHERE = 0x7000_0000
"""Where undefined symbols are placed, a page each."""
_PAGE = 4096
_MOST_MISSING = 1 << 14
"""Symbols without a definition; kvm.ko imports 700. All have a page below 2 GiB."""
_MOST_SITES = 1 << 16
"""Entries of the table of complaints; kvm.ko has 1,500."""
_MOST_ENTRY = 64
"""Bytes of struct bug_entry; it has 12 or 16."""
_LONGEST_NAME = 4096

_ONCE = (".data.once", ".data..once")
_BUG_TABLE = "__bug_table"
_ENTRIES = "shim_entries"
_SITE = struct.Struct("<QQQ")
"""struct shim_site of native.c."""
_JUMP = struct.Struct("<Bi")

_NAMED_BY_US = ("shim_sites", "shim_sites_end", "shim_once", "shim_once_end")

# R_X86_64_64, PC32, PLT32, 32, 32S, PC64: how it is written, whether relative to its place.
_RELOCATIONS = {
    1: ("<Q", False),
    2: ("<i", True),
    4: ("<i", True),
    10: ("<I", False),
    11: ("<i", False),
    24: ("<q", True),
}

NameSite = Callable[[str, int, str], str]
"""Of a file, a line and the symbol that contains the code, the name of the function as an event has it."""


@dataclass(frozen=True)
class BugEntry:
    """struct bug_entry: its size, and where its members are; they are relative to themselves."""

    size: int = 12
    address: int = 0
    file: int = 4
    line: int = 8
    flags: int = 10


def link(
    module: Object, ours: Sequence[Object], name_site: NameSite, bug_entry: BugEntry | None = None
) -> Image:
    """The image of a module and of our objects; its entries are those of the section shim_entries.

    Raises ConformanceError for a relocation or a reference that cannot be.
    """
    work = _Link([module, *ours])
    entry = bug_entry or BugEntry()
    ends = (entry.address + 4, entry.file + 4, entry.line + 2, entry.flags + 2)
    if not max(ends) <= entry.size <= _MOST_ENTRY:
        raise ConformanceError(
            f"{module.file}: struct bug_entry of its kernel's types is not one that is known here."
        )
    for number, sections in enumerate(work.reached()):
        work.lay_out(number, sections)
    work.define(entry)
    work.relocate()
    work.replace()
    return work.image(work.sites(name_site))


class _Link:
    """The module is object 0, ours are the others."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects
        self.memory = bytearray()
        self.segments: list[tuple[int, int, bool, bool]] = []
        self.places: dict[tuple[int, int], int] = {}
        """The address of each section in memory, by the numbers of its object and of itself."""
        self.shown: dict[str, int] = {}
        """The symbols that our objects and the linker define for all."""
        self.missing: dict[str, int] = {}
        self.entries = (0, 0)

    # Laying out

    def reached(self) -> list[set[int]]:
        """The sections of each object that anything of ours comes to: of the module not its tables."""
        found: list[set[int]] = [set() for _ in self.objects]
        waiting = [(n, s) for n, one in enumerate(self.objects) if n for s in one.sections]
        table = self.objects[0].section(_BUG_TABLE)
        waiting += [] if table is None else [(0, table)]
        shown = {
            symbol.name: (n, symbol.section)
            for n, one in enumerate(self.objects)
            for symbol in one.symbols
            if symbol.section in one.sections and (n == 0 or symbol.is_global)
        }
        while waiting:
            number, index = waiting.pop()
            if index in found[number]:
                continue
            found[number].add(index)
            one = self.objects[number]
            for relocation in one.sections[index].relocations:
                symbol = one.symbols[relocation.symbol]
                if symbol.section in one.sections:
                    waiting.append((number, symbol.section))
                elif symbol.name in shown:
                    waiting.append(shown[symbol.name])
        return found

    def lay_out(self, number: int, sections: set[int]) -> None:
        """Give the sections of an object their places: those of the same rights together."""
        one = self.objects[number]
        for rights in ((False, True), (False, False), (True, False), (True, True)):
            start = len(self.memory)
            for index in sorted(sections):
                section = one.sections[index]
                if (section.writable, section.executable) != rights:
                    continue
                self._align(max(section.alignment, 8))
                self.places[number, index] = BASE + len(self.memory)
                self.memory += section.content.ljust(section.size, b"\0")
                self._align(8)
            self._close(start, *rights)

    def _align(self, alignment: int) -> None:
        self.memory += bytes(-len(self.memory) % alignment)

    def _close(self, start: int, writable: bool, executable: bool) -> None:
        """What was laid out since ``start`` is a segment of these rights."""
        if len(self.memory) > start:
            self._align(_PAGE)
            self.segments.append((start, len(self.memory), writable, executable))

    def define(self, bug_entry: BugEntry) -> None:
        """Collect our global symbols, and define those of the linker."""
        self.bug_entry = bug_entry
        once, table = (self.objects[0].section(*names) for names in (_ONCE, (_BUG_TABLE,)))
        self.once, self.bugs = ((0, 0) if one is None else self._extent(0, one) for one in (once, table))
        self.site_table = BASE + len(self.memory)
        sites_end = self.site_table + self.bugs[1] // bug_entry.size * _SITE.size
        once_end = self.once[0] + self.once[1] + -self.once[1] % 8
        self.shown.update(
            zip(_NAMED_BY_US, (self.site_table, sites_end, self.once[0], once_end), strict=True)
        )
        for number, one in enumerate(self.objects[1:], 1):
            for symbol in one.symbols:
                if symbol.is_global and symbol.is_defined:
                    self.shown[symbol.name] = self._place(number, symbol)
            entries = one.section(_ENTRIES)
            if entries is not None:
                place, size = self.entries = self._extent(number, entries)
                self.shown[f"__start_{_ENTRIES}"], self.shown[f"__stop_{_ENTRIES}"] = place, place + size

    def _extent(self, number: int, index: int) -> tuple[int, int]:
        """Address and size of a section; 0 and 0 where it was not laid out."""
        place = self.places.get((number, index))
        return (0, 0) if place is None else (place, self.objects[number].sections[index].size)

    # Relocating

    def _place(self, number: int, symbol: SymbolEntry) -> int:
        """The address of a symbol that its object defines."""
        return symbol.value if symbol.absolute else self.places[number, symbol.section] + symbol.value

    def _resolve(self, number: int, symbol: SymbolEntry) -> int:
        """The address of a symbol that an object refers to."""
        if symbol.is_defined:
            if (number, symbol.section) in self.places or symbol.absolute:
                return self._place(number, symbol)
        elif symbol.name in self.shown:
            return self.shown[symbol.name]
        elif number:
            return self._of_module(symbol.name)
        if len(self.missing) >= _MOST_MISSING:
            self._damaged(f"it refers to more than {_MOST_MISSING:,} symbols of others")
        return self.missing.setdefault(symbol.name, NOWHERE + _PAGE * len(self.missing))

    def _of_module(self, name: str) -> int:
        """Where something of the module's lies that ours refer to."""
        module = self.objects[0]
        found = module.named(name)
        if len(found) == 1 and (0, found[0].section) in self.places:
            return self._place(0, found[0])
        what = "more than one" if found else "no"
        raise ConformanceError(f"{module.file}: it has {what} {name}, which asking its functions needs.")

    def relocate(self) -> None:
        """Apply the relocations of all sections in memory."""
        for (number, index), place in self.places.items():
            one = self.objects[number]
            for relocation in one.sections[index].relocations:
                known = _RELOCATIONS.get(relocation.kind)
                if known is None:
                    raise ConformanceError(
                        f"{one.file}: relocation type {relocation.kind} in {one.sections[index].name}"
                        " is not known here."
                    )
                form, relative = known
                at = place + relocation.offset
                value = self._resolve(number, one.symbols[relocation.symbol]) + relocation.addend
                if relocation.offset + struct.calcsize(form) > one.sections[index].size:
                    self._damaged(f"a relocation at the end of {one.sections[index].name}", one.file)
                try:
                    struct.pack_into(form, self.memory, at - BASE, value - at if relative else value)
                except struct.error:
                    name = one.symbols[relocation.symbol].name or one.sections[index].name
                    raise ConformanceError(
                        f"{one.file}: {name} lies too far away for a reference in {one.sections[index].name}."
                    ) from None

    def replace(self) -> None:
        """Start each function of the module that ours replaces with a jump to ours."""
        for symbol in self.objects[0].symbols:
            ours = self.shown.get(symbol.name)
            if ours is None or (0, symbol.section) not in self.places:
                continue
            if not self.objects[0].sections[symbol.section].executable:
                raise ConformanceError(
                    f"{self.objects[0].file}: it has a variable {symbol.name}, which ours cannot replace."
                )
            if symbol.value + _JUMP.size > self.objects[0].sections[symbol.section].size:
                self._damaged(f"{symbol.name} lies at the end of its section or beyond")
            at = self._place(0, symbol)
            _JUMP.pack_into(self.memory, at - BASE, 0xE9, ours - (at + _JUMP.size))

    # What is read from the image

    def sites(self, name_site: NameSite) -> dict[int, Site]:
        """What the table of bugs says, which is also put where our own code finds it."""
        entry, (start, size) = self.bug_entry, self.bugs
        code = _Code(self._functions())
        found: dict[int, Site] = {}
        if size // entry.size > _MOST_SITES:
            self._damaged(f"it complains in {size // entry.size:,} places")
        for at in range(start - BASE, start - BASE + size - entry.size + 1, entry.size):
            (to_code,) = struct.unpack_from("<i", self.memory, at + entry.address)
            (to_file,) = struct.unpack_from("<i", self.memory, at + entry.file)
            line, flags = (
                struct.unpack_from("<H", self.memory, at + where)[0] for where in (entry.line, entry.flags)
            )
            address = BASE + at + entry.address + to_code
            name = self._string(at + entry.file + to_file)
            symbol = code.containing(address)
            kind = "WARN" if flags & 1 else "BUG"
            found[address] = Site(kind, name_site(name, line, symbol), name, line)
        table, strings = bytearray(), bytearray()
        first = self.site_table + _SITE.size * (size // entry.size)
        for address, site in sorted(found.items()):
            table += _SITE.pack(address, first + len(strings), site.kind == "BUG")
            strings += site.function.encode() + b"\0"
        # Two entries for one address are one site.
        table += _SITE.pack(2**64 - 1, first, 0) * (size // entry.size - len(found))
        begin = len(self.memory)
        self.memory += table + strings
        self._close(begin, False, False)
        return found

    def _string(self, at: int) -> str:
        end = self.memory.find(0, at, at + _LONGEST_NAME) if at >= 0 else -1
        if end < 0:
            self._damaged("its table of complaints names a file beyond its memory")
        return self.memory[at:end].decode(errors="replace")

    def _damaged(self, how: str, file: str = "") -> NoReturn:
        raise ConformanceError(f"{file or self.objects[0].file} is damaged: {how}. Get the file again.")

    def _functions(self) -> Iterator[tuple[int, int, str]]:
        for symbol in self.objects[0].symbols:
            if symbol.kind == "function" and (0, symbol.section) in self.places:
                yield self._place(0, symbol), symbol.size, symbol.name

    def image(self, sites: dict[int, Site]) -> Image:
        """The whole image."""
        symbols: dict[str, Symbol] = {}
        for number in (*range(1, len(self.objects)), 0):
            for symbol in self.objects[number].symbols:
                if symbol.name and (symbol.absolute or (number, symbol.section) in self.places):
                    symbols.setdefault(symbol.name, Symbol(self._place(number, symbol), symbol.size))
        symbols.update((name, Symbol(self.shown[name], 0)) for name in _NAMED_BY_US)
        symbols.update((name, Symbol(place, _PAGE)) for name, place in self.missing.items())
        start, size = self.entries
        return Image(
            segments=tuple(
                Segment(BASE + start, bytes(self.memory[start:end]), writable, executable)
                for start, end, writable, executable in self.segments
            ),
            symbols=symbols,
            entries=listed_entries(start, start + size, self._unpack, lambda at: self._string(at - BASE)),
            sites=sites,
            fresh=(self.once,) if self.once[1] else (),
        )

    def _unpack(self, form: str, address: int) -> tuple[int, ...]:
        return struct.unpack_from(form, self.memory, address - BASE)


class _Code:
    """The function that contains an address."""

    def __init__(self, functions: Iterator[tuple[int, int, str]]) -> None:
        self._functions = sorted(functions)
        self._starts = [start for start, _, _ in self._functions]

    def containing(self, address: int) -> str:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return ""
        start, size, name = self._functions[index]
        return name if address < start + size else ""
