# SPDX-License-Identifier: GPL-2.0-only
"""KVM's own writable variables in a built library, of all its files and functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

__all__ = ["Variable", "note_variables", "variables_of"]

_MADE = re.compile(
    r"__key|__already_done|__warned|_rs|descriptor|__UNIQUE_ID_.*|___tp_str|__tracepoint_.*|__SCK__tp_func_.*"
    r"|__gcov.*|(print_fmt|trace_event|event|__event|__param)_.*|symbols|__flags|access_str|(__)?TRACE_SYSTEM_.*"
)
"""Variables that macros define: lock classes, flags of WARN_ONCE(), tracepoints. And gcc's counters."""


class Variable(NamedTuple):
    """Its offset in the library, its size, and its name, with its file in front if it is static."""

    offset: int
    size: int
    name: str


def variables_of(library: Path) -> list[Variable]:
    """The variables of a library, sorted by name."""
    lines = library.with_name("variables").read_text().splitlines()
    words = (line.split(" ", 2) for line in lines)
    return [Variable(int(offset, 16), int(size), name) for offset, size, name in words]


def note_variables(library: Path, listing: str, files: set[str]) -> None:
    """Write the variables of a library, not yet stripped, to a file beside it.

    ``listing`` is the output of nm for the kernel's part, ``files`` are the names of KVM's own files.
    """
    shared, own = (set(re.findall(rf" [{kinds}] (\S+)$", listing, re.M)) for kinds in ("DB", "db"))
    with library.open("rb") as file:
        found = sorted(_variables(ELFFile(file), shared, own, files), key=lambda one: one.name)
    lines = (f"{one.offset:x} {one.size} {one.name}\n" for one in found)
    library.with_name("variables").write_text("".join(lines))


def _variables(elf: ELFFile, shared: set[str], own: set[str], files: set[str]) -> Iterator[Variable]:
    """Those in writable sections. In the symbol table, local symbols follow the name of their file."""
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    file, times = "", Counter[str]()
    for symbol in table.iter_symbols():
        if symbol["st_info"]["type"] == "STT_FILE":
            file = symbol.name
        name, place = symbol.name.partition(".")[0], symbol["st_shndx"]
        if symbol["st_info"]["type"] != "STT_OBJECT" or not isinstance(place, int) or _MADE.fullmatch(name):
            continue
        if symbol.name in own and file in files:
            name = f"{file}:{name}"
        elif symbol.name not in shared:
            continue
        section = elf.get_section(place)
        fixed = section.name.startswith(".data.rel.ro") or not section["sh_flags"] & SH_FLAGS.SHF_WRITE
        if symbol["st_size"] and not fixed:
            times[name] += 1
            again = f"#{times[name]}" if times[name] > 1 else ""
            yield Variable(symbol["st_value"], symbol["st_size"], name + again)
