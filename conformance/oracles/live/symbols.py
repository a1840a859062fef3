# SPDX-License-Identifier: GPL-2.0-only
"""Where variables of the running kernel are.

/proc/kallsyms has all of them, but to write its text takes Bochs 20 s.
"""

from __future__ import annotations

import re
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.elf import MOST_BYTES, Elf
from conformance.kernels.reading import read_file

__all__ = ["place_in_module", "root_table"]

_SYMBOL_TABLE = 2


def place_in_module(module: Path, name: str) -> tuple[str, int]:
    """The section of a module in which a variable lies, and the offset. Raises ConformanceError."""
    elf = Elf(read_file(module, MOST_BYTES), str(module))
    for table in elf.sections:
        if table.kind != _SYMBOL_TABLE:
            continue
        for symbol in elf.symbols(table):
            if symbol.name == name and 0 < symbol.section < len(elf.sections):
                return elf.sections[symbol.section].name, symbol.value
    raise ConformanceError(f"{module} has no symbol {name}, so that the state of its VMs cannot be read.")


def root_table(note: bytes, kernel: str) -> int:
    """The address of init_top_pgt, by the kernel's note for crash dumps. Raises ConformanceError."""
    found = re.search(rb"^SYMBOL\((?:init_top_pgt|swapper_pg_dir)\)=([0-9a-f]+)$", note, re.MULTILINE)
    if found is None:
        raise ConformanceError(
            f"{kernel}: its note for crash dumps does not name its page tables, so that they cannot be read."
        )
    return int(found[1], 16)
