# SPDX-License-Identifier: GPL-2.0-only
"""What the compiler makes of the headers of the MMU: the values of macros, the places of members."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from elftools.elf.elffile import ELFFile

from conformance.kernels.cache import temporary
from conformance.kernels.compiling import BuildError
from conformance.kernels.dwarf import Places, read_places
from conformance.kernels.kernel import Kernel

__all__ = ["defined", "places_in", "values_of"]

_HEADERS = ("linux/kvm_host.h", "mmu.h", "mmu/mmu_internal.h", "mmu/spte.h", "mmu/tdp_iter.h", "x86.h")
_VALUE = re.compile(r"^value_of_(\w+):\n(?:\t\.(?:quad|zero)\t(-?\d+))", re.M)


def defined(kernel: Kernel, names: Iterable[str]) -> list[str]:
    """Those of the macros ``names`` that the headers define."""
    text = "\n".join(_texts(kernel))
    return [name for name in names if re.search(rf"^#\s*define\s+{name}\b", text, re.MULTILINE)]


def _texts(kernel: Kernel) -> Iterator[str]:
    for folder in ("arch/x86/kvm", "include", "arch/x86/include/asm"):
        for name in (*_HEADERS, "kvm_host.h"):
            path = kernel.root / "src" / folder / name
            if path.is_file():
                yield path.read_text(errors="replace")


def values_of(kernel: Kernel, names: Sequence[str]) -> dict[str, int]:
    """The values of those of the names that are constants: enumerators, and macros that come to a number."""
    if not names:
        return {}
    try:
        return _compiled_values(kernel, names)
    except BuildError as error:
        # Line n of the unit is the n-th name. The cause of an error in a header is found by bisection.
        at = re.search(r"constants\.c:(\d+):", str(error))
    if at is not None:
        return values_of(kernel, [name for n, name in enumerate(names, 1) if n != int(at[1])])
    half = len(names) // 2
    return {**values_of(kernel, names[:half]), **values_of(kernel, names[half:])} if half else {}


def _compiled_values(kernel: Kernel, names: Sequence[str]) -> dict[str, int]:
    with temporary("constants") as place:
        unit, headers = place / "constants.c", place / "headers.h"
        headers.write_text(_included())
        lines = (
            f"const unsigned long long value_of_{name} = (unsigned long long)({name});\n" for name in names
        )
        unit.write_text("".join(lines))
        flags = ("-S", "-w", "-fno-zero-initialized-in-bss")
        (assembly,) = kernel.compile([unit], place / "o", flags=flags, force_include=[headers])
        text = assembly.read_text()
    values = {}
    for name, number in _VALUE.findall(text):
        zero = re.search(rf"^value_of_{name}:\n\t\.zero\t", text, re.M)
        values[name] = 0 if zero else int(number) & (1 << 64) - 1
    return values


def places_in(kernel: Kernel, names: Sequence[str]) -> dict[str, Places]:
    """Where the members lie of those of the structures ``names`` that are complete in the headers."""
    if not names:
        return {}
    with temporary("layouts") as place:
        unit, headers = place / "layouts.c", place / "headers.h"
        headers.write_text(_included())
        unit.write_text("".join(f"{name} *structure_{n};\n" for n, name in enumerate(names)))
        try:
            (made,) = kernel.compile([unit], place / "o", flags=("-g", "-w"), force_include=[headers])
        except BuildError:
            return {}
        with made.open("rb") as file:
            return read_places(ELFFile(file), names)


def _included() -> str:
    return "".join(f"#include <{name}>\n" for name in _HEADERS)
