# SPDX-License-Identifier: GPL-2.0-only
"""Checks the products of compilers and linkers before they are kept: status 0 does not guarantee them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

__all__ = ["check_library", "check_object"]


def check_object(path: Path, symbols: Iterable[str] = ()) -> str:
    """What is wrong with an object file, as the predicate of a sentence; "" if it is valid.

    It must be a complete relocatable ELF file for x86-64, with a symbol table that defines `symbols`.
    """
    return _check(path, "ET_REL", "object file", ".symtab", symbols)


def check_library(path: Path, symbols: Iterable[str] = ()) -> str:
    """What is wrong with a shared library, which must export `symbols`; "" if it is valid."""
    return _check(path, "ET_DYN", "shared library", ".dynsym", symbols)


def _check(path: Path, kind: str, what: str, table: str, symbols: Iterable[str]) -> str:
    try:
        size = path.stat().st_size
    except OSError:
        return "does not exist"
    if not size:
        return "is empty"
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            if elf.elfclass != 64 or elf["e_machine"] != "EM_X86_64" or elf["e_type"] != kind:
                return f"is no {what} for x86-64"
            ends = (
                section["sh_offset"] + section["sh_size"]
                for section in elf.iter_sections()
                if section["sh_type"] != "SHT_NOBITS"
            )
            if max(ends, default=size + 1) > size:
                return "is cut off"
            names = elf.get_section_by_name(table)
            if not isinstance(names, SymbolTableSection):
                return "has no symbols"
            defined = {one.name for one in names.iter_symbols() if one["st_shndx"] != "SHN_UNDEF"}
    except (ELFError, ValueError, UnicodeDecodeError, OverflowError, AssertionError, KeyError):
        return f"is no {what} for x86-64"
    lacking = sorted(set(symbols) - defined)
    return f"does not define {lacking[0]}" if lacking else ""
