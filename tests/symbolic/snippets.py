# SPDX-License-Identifier: GPL-2.0-only
"""Images of a few instructions each, assembled as entries of the form that SHIM() has."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from conformance.oracles.image import EntryCode, Image, Segment, Site, Symbol

NEEDED = pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which("gcc") is None, reason="needs an x86-64 host and gcc"
)

ENTRY = """
.globl run_{name}
run_{name}:
    push rbx
    push r12
    mov rbx, rdi
    mov r12, rsi
    mov rdi, [rbx]
    mov rsi, [rbx + 8]
    mov rdx, [rbx + 16]
    mov qword ptr shim_events[rip], 0
    call snippet_{name}
    mov [r12], rax
    mov rax, shim_events[rip]
    mov [r12 + 8], rax
    pop r12
    pop rbx
    ret
snippet_{name}:
    {body}
    ret
"""
"""Three words in, in rdi, rsi and rdx, one out, in rax; one case."""

DATA = """
.bss
.balign 4096
.macro variable name, size
    .balign 8
    .type \\name, @object
    .size \\name, \\size
    \\name: .skip \\size
.endm
variable shim_events, 8
variable cell, 8
variable table, 4096
variable bytes, 4096
variable few, 32
"""


def assemble(folder: Path, snippets: Mapping[str, str]) -> Path:
    """A library with one entry per snippet; statements are separated by semicolons."""
    code = ['.section .note.GNU-stack,"",@progbits', ".text", ".intel_syntax noprefix"]
    code += [ENTRY.format(name=name, body=body.replace("; ", "\n    ")) for name, body in snippets.items()]
    source, made = folder / "snippets.s", folder / "snippets.so"
    source.write_text("\n".join([*code, DATA]))
    subprocess.run(["gcc", "-shared", "-nostdlib", "-Wl,-Bsymbolic", "-o", made, source], check=True)
    return made


def image_of(library: Path, sites: Mapping[str, Site] | None = None) -> Image:
    """The library's image; ``sites`` are keyed by label."""
    with library.open("rb") as file:
        elf = ELFFile(file)
        text, bss = (elf.get_section_by_name(name) for name in (".text", ".bss"))
        segments = (
            Segment(text["sh_addr"], text.data(), writable=False, executable=True),
            Segment(bss["sh_addr"], bytes(bss["sh_size"]), writable=True, executable=False),
        )
        listed = list(elf.get_section_by_name(".symtab").iter_symbols())
    symbols = {s.name: Symbol(s["st_value"], s["st_size"]) for s in listed if s.name}
    entries = {
        name.removeprefix("run_"): EntryCode(symbol.address, 3, 1)
        for name, symbol in symbols.items()
        if name.startswith("run_")
    }
    found = {symbols[label].address: site for label, site in (sites or {}).items()}
    return Image(segments, symbols, entries, found)
