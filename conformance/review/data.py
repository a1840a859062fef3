# SPDX-License-Identifier: GPL-2.0-only
"""The data of a unit, variable by variable: section, content and relocations, as compiled.

Declarations with equal data give the variable the same section, size and initial value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from conformance.kernels import Cache, Kernel, Unit
from conformance.kernels.cache import temporary
from conformance.kernels.machine_code import AS_BUILT

__all__ = ["compile_data", "read_data"]

Data = dict[str, tuple[str, ...]]
"""The lines of assembly that define each variable; unnamed data that they point to is included."""

_COMMON = re.compile(r"^\t\.(local|comm)\t(\w+)(.*)$")
_LABEL = re.compile(r"^([\w.]+):$")
_SECTION = re.compile(r"^\t\.(section|data|bss|text|pushsection|popsection)\b")
_NAMELESS = re.compile(r"\.L[\w.]+")


def compile_data(kernel: Kernel, units: Sequence[str], cache: Cache) -> Data:
    """The data that ``units`` of a kernel define, compiled as the kernel is built. Raises BuildError."""
    found: Data = {}
    with temporary("data") as place:
        made = kernel.compile([Unit(unit) for unit in units], place, flags=AS_BUILT, reuse=cache)
        for assembly in made:
            found.update(read_data(assembly.read_text(errors="replace")))
    return found


def read_data(text: str) -> Data:
    """The data that a unit's assembly defines, by name."""
    whole = dict(_pieces(text.splitlines()))
    return {
        name: tuple(_NAMELESS.sub(lambda match: repr(whole.get(match[0], match[0])), line) for line in lines)
        for name, lines in whole.items()
        if not name.startswith(".L")
    }


def _pieces(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Every label outside of code, with the section that it lies in and the lines that follow it."""
    section, name = "", ""
    held: list[str] = []
    for line in [*lines, "\t.text"]:
        common = _COMMON.match(line)
        label = _LABEL.match(line)
        if (label or common or _SECTION.match(line)) and name:
            yield name, [section, *held]
            name = ""
        if common:
            yield (common[2], [common[1], common[3]]) if common[1] == "comm" else (f".L{common[2]}", [])
        elif _SECTION.match(line):
            section = line.strip()
        elif label and not section.endswith((".text", ".text.")):
            name, held = label[1], []
        elif name and not line.startswith(("\t.type", "\t.globl", "\t.align", "\t.p2align")):
            held.append(line.split("\t#")[0])
